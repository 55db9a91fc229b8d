from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.packing import filled_share, pack_rows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def test_the_example_of_the_docstring():
    assert pack_rows([3, 5, 2]) == [[1], [0, 2]]
    assert filled_share([3, 5, 2], [[1], [0, 2]]) == 1.0
    assert filled_share([3, 5, 2], [[0], [1], [2]]) == 10 / 15


def test_the_fullest_row_that_has_room_is_taken():
    assert pack_rows([6, 5, 4, 3], 10) == [[0, 2], [1, 3]]
    # First fit would put the 3 beside the 6; beside the 7 it leaves no room.
    assert pack_rows([6, 7, 3], 10) == [[1, 2], [0]]


@given(LENGTHS, st.integers(0, 60))
def test_every_document_stands_whole_in_one_row(lengths, more):
    capacity = max(lengths) + more
    rows = pack_rows(lengths, capacity)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= capacity for row in rows)
    assert rows == pack_rows(lengths, capacity)
    # 11/9 OPT + 6/9 (Dosa 2007), and OPT is at least what the tokens need.
    assert len(rows) <= 1 or sum(lengths) * 2 > capacity * (len(rows) - 1)


@given(LENGTHS)
def test_rows_are_no_longer_than_the_longest_document(lengths):
    rows = pack_rows(lengths)
    assert max(sum(lengths[number] for number in row) for row in rows) == max(lengths)
    assert filled_share(lengths, rows) >= filled_share(lengths, [[n] for n in range(len(lengths))])


def test_a_document_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        pack_rows([5], 4)


def test_nothing_to_pack():
    assert pack_rows([]) == []
    assert filled_share([], []) == 1.0
