"""Every token a target exactly once an epoch, no document in another's context, any step from its number alone."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.token_rows import TrainingRows, windows
from posttrain.data.token_store import TokenDocuments
from posttrain.data.tokenizer_training import DocumentEnds
from posttrain.errors import ConfigError

START, END = 1, 2
lengths = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def documents_of(lengths):
    """Documents whose ids are all different, so that an id says where it comes from."""
    ids, offsets, number = [], [0], 10
    for length in lengths:
        ids += [*range(number, number + length), END]
        number += 100
        offsets.append(len(ids))
    return TokenDocuments(np.array(ids, np.uint16), np.array(offsets), DocumentEnds(START, END), 1, 0)


def allowed_pairs(documents):
    """Each target with the one token that may stand before it."""
    pairs = Counter()
    for d in range(len(documents)):
        whole = [START, *documents.ids[documents.offsets[d] : documents.offsets[d + 1]].tolist()]
        pairs.update(itertools.pairwise(whole))
    return pairs


def pairs_of(rows):
    pairs = Counter()
    for row in rows:
        for piece in row:
            pairs.update(itertools.pairwise(piece.tolist()))
    return pairs


@given(lengths, st.integers(1, 15), st.integers(0, 5), st.integers(0, 3))
def test_every_token_is_a_target_once_an_epoch_behind_its_own_document(lengths, length, seed, epoch):
    documents = documents_of(lengths)
    rows = TrainingRows(documents, sequence_length=length, seed=seed)
    epoch_rows = rows.rows_of_step(epoch + 1, rows.rows_per_epoch)
    assert pairs_of(epoch_rows) == allowed_pairs(documents)
    sizes = [sum(len(piece) - 1 for piece in row) for row in epoch_rows]
    assert max(sizes) <= length
    assert sum(size < length for size in sizes) <= 1
    # A piece is a run of one document: its ids follow each other.
    for row in epoch_rows:
        for piece in row:
            inner = piece[(piece != START) & (piece != END)]
            assert (np.diff(inner) == 1).all()


@given(lengths, st.integers(1, 9), st.integers(1, 7), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_step_is_the_same_whenever_it_is_asked_for(lengths, length, rows_per_step, steps):
    documents = documents_of(lengths)
    one = TrainingRows(documents, sequence_length=length, seed=3)
    in_order = [one.rows_of_step(step, rows_per_step) for step in range(1, 31)]
    for step in steps:
        fresh = TrainingRows(documents, sequence_length=length, seed=3).rows_of_step(step, rows_per_step)
        for row, other in zip(fresh, in_order[step - 1], strict=True):
            assert [piece.tolist() for piece in row] == [piece.tolist() for piece in other]


def test_epochs_and_seeds_differ():
    documents = documents_of([11] * 8)

    def order(seed, epoch):
        rows = TrainingRows(documents, sequence_length=7, seed=seed)
        return str(rows.rows_of_step(epoch + 1, rows.rows_per_epoch))

    assert len({order(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_the_order_is_fixed_for_good():
    """Changed numbers here mean that runs that are resumed with this version go on with other rows."""
    rows = TrainingRows(documents_of([5, 3, 4]), sequence_length=4, seed=0)
    shown = [[piece.tolist() for piece in row] for row in rows.rows_of_step(1, 4)]
    assert shown == [
        [[210, 211, 212, 213, 2]],
        [[12, 13, 14, 2], [1, 210]],
        [[112, 2], [1, 10, 11, 12]],
        [[1, 110, 111, 112]],
    ]


def test_one_long_document_is_cut_at_other_places_in_another_epoch():
    rows = TrainingRows(documents_of([90]), sequence_length=10, seed=0)
    firsts = [{int(row[0][0]) for row in rows.rows_of_step(epoch, rows.rows_per_epoch)} for epoch in (1, 2)]
    assert firsts[0] != firsts[1]


@given(lengths, st.integers(1, 15))
def test_windows_hold_every_target_once_in_order(lengths, length):
    documents = documents_of(lengths)
    found = list(windows(documents, sequence_length=length, max_windows=1000))
    assert pairs_of(found) == allowed_pairs(documents)
    targets = [i for row in found for piece in row for i in piece.tolist()[1:]]
    assert targets == documents.ids.tolist()


@given(lengths, st.integers(1, 5), st.integers(1, 6))
def test_fewer_windows_are_spread_evenly(lengths, length, max_windows):
    documents = documents_of(lengths)
    every = [str(row) for row in windows(documents, sequence_length=length, max_windows=1000)]
    some = [str(row) for row in windows(documents, sequence_length=length, max_windows=max_windows)]
    assert len(some) == min(max_windows, len(every))
    places = [every.index(row) for row in some]
    assert places == [i * len(every) // len(some) for i in range(len(some))]


def test_no_targets_no_rows():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        TrainingRows(documents_of([3]), sequence_length=0, seed=0)


def test_epochs_before_a_step():
    rows = TrainingRows(documents_of([39]), sequence_length=10, seed=0)
    assert [rows.epochs_before(step, 2) for step in (1, 2, 3)] == [0.0, 0.5, 1.0]
