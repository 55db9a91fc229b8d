"""Differences put together give both texts again, say what changed, and never take long."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.web.ranking.text_difference import LONGEST_COMPARED, difference

TEXTS = st.text(alphabet="ab \n.,é", max_size=60)


@given(TEXTS, TEXTS)
def test_parts_give_both_texts_again(a: str, b: str) -> None:
    found = difference(a, b)
    assert "".join(text for operation, text in found.parts if operation != "only_b") == a
    assert "".join(text for operation, text in found.parts if operation != "only_a") == b
    assert 0 <= found.similarity <= 1
    assert (found.similarity == 1) == (a == b)


def test_one_changed_word_is_one_change() -> None:
    assert difference(
        "The cat sat on the mat.\nIt was red.", "The dog sat on the mat.\nIt was red."
    ).parts == (
        ("same", "The"),
        ("only_a", " cat"),
        ("only_b", " dog"),
        ("same", " sat on the mat.\nIt was red."),
    )


def test_a_chance_word_does_not_cut_a_change_in_two() -> None:
    found = difference("one two the three four", "five six the seven eight")
    assert [operation for operation, _ in found.parts] == ["only_a", "only_b"]


def test_texts_as_json_are_escaped_and_hidden_characters_shown() -> None:
    parts = difference("<script>", "\u202e<b>").as_json()["parts"]
    assert "<script>" not in str(parts)
    assert "<b>" not in str(parts)
    assert "U+202E" in str(parts)


words = [f"w{int(random.Random(number).paretovariate(0.6))}" for number in range(20_000)]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a " * 30_000, "b a " * 15_000),
        ("a\n" * 30_000, "b\na\n" * 15_000),
        ("x" * 1_000_000, "y" * 1_000_000),
        (" ".join(words[:2_000]), " ".join(words[5_000:7_000])),
        (" ".join(words[:9_000]), " ".join(words[10_000:19_000])),
    ],
    ids=["repeated word", "repeated line", "1 MB line", "2,000 words", "9,000 words"],
)
def test_hostile_pairs_take_less_than_a_second(a: str, b: str) -> None:
    start = time.process_time()
    found = difference(a, b)
    assert time.process_time() - start < 1
    assert found.is_partial == (len(a) > LONGEST_COMPARED)


def test_a_long_text_with_one_edit_is_compared_by_words() -> None:
    found = difference("a " * 29_000, "a " * 14_000 + "new " + "a " * 15_000)
    assert found.unit == "words"
    assert ("only_b", " new") in found.parts
