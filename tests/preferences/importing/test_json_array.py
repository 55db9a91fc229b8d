"""One large JSON list, read element by element: the same elements as `json.loads` finds, however it is cut."""

from __future__ import annotations

import io
import json
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.preferences.importing import json_array
from posttrain.preferences.importing.json_array import array_rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters() | st.sampled_from('[]{},"\\')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)


def rows(text: str | bytes, chunk: int = 1 << 20) -> list:
    content = text.encode() if isinstance(text, str) else text
    with patch.object(json_array, "_CHUNK_BYTES", chunk):
        return list(array_rows(io.BytesIO(content)))


@settings(max_examples=80, deadline=None)
@given(st.lists(RECORDS, max_size=5), st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
def test_the_elements_are_those_of_the_list(records, chunk, indent, escaped):
    text = json.dumps(records, indent=indent, ensure_ascii=escaped)
    content = text.encode("utf-8", "surrogatepass")
    if not escaped and b"\xed" in content:
        return  # half a surrogate pair, which no UTF-8 file holds
    assert rows(content, chunk) == list(enumerate(records, start=1))


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        ('[{"a": 1}, {"b": 2', 2, "cut off"),
        ('[{"a": 1}] {"b": 2}', 2, "goes on"),
        ('[{"a": 1},]', 2, "not valid JSON"),
        ('[{"a": 1}, 5]', 2, "a JSON a number"),
        ('[{"a" 1}, {"a": 1}]', 1, "not valid JSON"),
        ('[{"a": 1}, {"a": "x]', 2, "cut off"),
        ('[{"a": NaN}]', 1, "NaN"),
        ('[{"a": 1, "a": 2}]', 1, "twice"),
    ],
)
def test_what_is_broken_is_a_row_that_says_so(text, number, reason):
    found = [(n, row) for n, row in rows(text, 3) if isinstance(row, str)]
    assert found, "no row says what is wrong"
    assert found[0][0] == number
    assert reason in found[0][1]


def test_an_empty_list_has_no_rows_and_bytes_that_are_no_text_are_told():
    assert rows(" [ \n ] ") == []
    assert "UTF-8" in rows(b'[{"a": "\xff"}]')[0][1]


def test_a_quote_that_never_closes_does_not_fill_the_memory():
    with patch.object(json_array, "_MAX_RECORD_BYTES", 1 << 20):
        found = rows('[{"a": "' + "x" * (3 << 20), 1 << 16)
    assert len(found) == 1
    assert "not closed" in found[0][1]
