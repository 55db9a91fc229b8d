"""From documents to rows of a fixed number of targets; training order is a function of seed and place alone.

The targets of all documents, one behind another, are a stream that is cut every `sequence_length` targets. A
document that is cut goes on in another row behind the last token before the cut, its only context there. So in
an epoch every token is a target exactly once, and a document's start token never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from posttrain.data.token_store import TokenDocuments
from posttrain.errors import ConfigError

Piece = npt.NDArray[np.int64]
"""Ids of a piece of one document: one token of context, then targets."""


class TrainingRows:
    """Endless rows: each epoch lays the documents in a new order, begins at another place, and shuffles its rows.

    Nothing of it needs to be saved: row number r of a run is the same whenever it is asked for. An epoch has
    `rows_per_epoch` rows, of which one may be shorter than `sequence_length` targets.
    """

    def __init__(self, documents: TokenDocuments, *, sequence_length: int, seed: int) -> None:
        if sequence_length < 1:
            raise ConfigError(f"sequence_length must be at least 1, got {sequence_length}")
        self._documents = documents
        self._length = sequence_length
        self._seed = seed
        self._epoch = -1
        self.rows_per_epoch = -(-documents.num_targets // sequence_length)

    def rows_of_step(self, step: int, rows_per_step: int) -> list[list[Piece]]:
        """The rows of a step that is counted from 1: each a list of pieces of documents, in order."""
        first = (step - 1) * rows_per_step
        return [self._row(number) for number in range(first, first + rows_per_step)]

    def epochs_before(self, step: int, rows_per_step: int) -> float:
        """Passes over the text that lie behind when the step begins."""
        return (step - 1) * rows_per_step / self.rows_per_epoch

    def _row(self, number: int) -> list[Piece]:
        epoch, place = divmod(number, self.rows_per_epoch)
        self._enter(epoch)
        total = self._documents.num_targets
        start = int(self._row_order[place]) * self._length
        stop = min(start + self._length, total)
        # The epoch's stream begins in the middle of a document and comes round to it at its end.
        start, stop = start + self._begin, stop + self._begin
        if stop <= total:
            return self._pieces(start, stop)
        if start >= total:
            return self._pieces(start - total, stop - total)
        return self._pieces(start, total) + self._pieces(0, stop - total)

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._order = self._permutation("documents", len(self._documents))
        self._row_order = self._permutation("rows", self.rows_per_epoch)
        sizes = np.diff(self._documents.offsets)[self._order]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._begin = int(self._random("begin", 1)[0] % np.uint64(self._documents.num_targets))

    def _pieces(self, start: int, stop: int) -> list[Piece]:
        return list(_pieces(self._documents, self._order, self._starts, start, stop))

    def _permutation(self, name: Literal["documents", "rows"], count: int) -> npt.NDArray[np.int64]:
        return np.argsort(self._random(name, count), kind="stable")

    def _random(self, name: str, count: int) -> npt.NDArray[np.uint64]:
        # The raw words of a bit generator are promised to stay the same in every version of numpy.
        digest = hashlib.sha256(f"{name}/{self._seed}/{self._epoch}".encode()).digest()
        key = np.frombuffer(digest[:16], np.uint64)
        return np.asarray(np.random.Philox(key=key).random_raw(count), np.uint64)


def windows(documents: TokenDocuments, *, sequence_length: int, max_windows: int) -> Iterator[list[Piece]]:
    """Rows in the documents' order: every target once, or `max_windows` rows of them, evenly spread."""
    order = np.arange(len(documents))
    total = -(-documents.num_targets // sequence_length)
    taken = min(total, max_windows)
    for index in range(taken):
        start = index * total // taken * sequence_length
        stop = min(start + sequence_length, documents.num_targets)
        yield list(_pieces(documents, order, documents.offsets, start, stop))


def _pieces(
    documents: TokenDocuments,
    order: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    start: int,
    stop: int,
) -> Iterator[Piece]:
    """Targets `start` to `stop` of the stream of documents in this order, which begin at `starts` in it."""
    place = int(np.searchsorted(starts, start, side="right")) - 1
    while start < stop:
        end = min(stop, int(starts[place + 1]))
        begin = int(starts[place])
        yield documents.piece(int(order[place]), start - begin, end - begin)
        start, place = end, place + 1
