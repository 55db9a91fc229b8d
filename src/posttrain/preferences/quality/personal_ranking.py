"""What the statistics read: one person's ranking of one item; and the same as arrays, by number of responses."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PersonalRanking(NamedTuple):
    """One person's ranking of one item.

    `ranks[i]` is that of response i, 0 the best, equal is a tie. `order_shown[k]` is the response whose card stood
    at place k; empty where nobody knows, or where the cards were not shuffled.
    """

    item_id: int
    annotator_id: int
    ranks: tuple[int, ...]
    order_shown: tuple[int, ...] = ()


class RankingTable(NamedTuple):
    """Rankings of items with the same number of responses, sorted by item: a row each, `ranks` [rows, responses]."""

    items: NDArray[np.int64]
    annotators: NDArray[np.int64]
    ranks: NDArray[np.int64]


def tables_by_size(rankings: Sequence[PersonalRanking]) -> list[RankingTable]:
    """One table for each number of responses from two up; a single response has no order and is left out."""
    by_size: dict[int, list[PersonalRanking]] = defaultdict(list)
    for ranking in rankings:
        by_size[len(ranking.ranks)].append(ranking)
    tables = []
    for size, own in sorted(by_size.items()):
        if size < 2:
            continue
        item_ids = np.array([ranking.item_id for ranking in own], dtype=np.int64)
        annotator_ids = np.array([ranking.annotator_id for ranking in own], dtype=np.int64)
        ranks = rows_of([ranking.ranks for ranking in own], size)
        order = np.lexsort((annotator_ids, item_ids))
        tables.append(RankingTable(item_ids[order], annotator_ids[order], ranks[order]))
    return tables


def rows_of(tuples: Sequence[Sequence[int]], size: int) -> NDArray[np.int64]:
    """[tuples, size] of tuples of that size; several times faster than numpy's own reading of nested sequences."""
    flat = np.fromiter(itertools.chain.from_iterable(tuples), dtype=np.int64, count=len(tuples) * size)
    return flat.reshape(len(tuples), size)


def doubled_places(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice each response's place from 0, tied ones sharing the mean of theirs; ranks are [rows, responses].

    Example: ranks (0, 1, 1, 2) -> places (0, 1.5, 1.5, 3) -> (0, 3, 3, 6). Unlike the ranks themselves, places do
    not shift when others are tied: a person who ties all has put none of them first.
    """
    places = np.empty_like(ranks)
    for response in range(ranks.shape[1]):
        own = ranks[:, response : response + 1]
        places[:, response] = 2 * (ranks < own).sum(axis=1) + (ranks == own).sum(axis=1) - 1
    return places
