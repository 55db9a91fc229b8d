"""How often two people put responses in the same order: agreement of pairs, and Kendall's tau-b.

Both count pairs of responses. Agreement: of the pairs that both put in an order, the share in the same order; 0.5 is
chance. tau-b (Kendall 1945) also holds ties against the two: with C pairs in the same order, D in opposite ones,
U1 and U2 pairs that the first and the second person did not tie,

    tau-b = (C - D) / sqrt(U1 U2)

Each item weighs 1, however many responses it has and however many people ranked it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posttrain.evaluation.intervals import clustered_wilson_interval
from posttrain.preferences.quality.intervals import (
    Estimate,
    estimate_with_interval,
    groups_of_items,
)
from posttrain.preferences.quality.personal_ranking import PersonalRanking, RankingTable, tables_by_size

_CHUNK = 200_000  # rows of shared rankings whose response pairs are held at once


class SharedRankings(NamedTuple):
    """Columns with a row for every two people who ranked the same item, the lower annotator id first.

    Of the item's `num_pairs` pairs of responses, `same` are in the same order and `opposite` in opposite ones; only
    the first person put `first_only` in an order, only the second `second_only`; both tied the rest.
    """

    items: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    num_pairs: NDArray[np.int64]
    same: NDArray[np.int64]
    opposite: NDArray[np.int64]
    first_only: NDArray[np.int64]
    second_only: NDArray[np.int64]

    def disagreement(self) -> NDArray[np.float64]:
        """The share of pairs on which the two differ: 1 for opposite orders, half where only one of them tied."""
        return (self.opposite + (self.first_only + self.second_only) / 2) / self.num_pairs


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two people, or one and all others, agree. `pairs` is None where no pair was put in an order by both.

    `pairs`: the share of pairs in the same order, its interval clustered by item. `tau_b`: -1 to 1, None where one
    side tied everything. `num_items`: items that both ranked.
    """

    pairs: Estimate | None
    tau_b: float | None
    num_items: int


def kendall_tau_b(one: Sequence[int], other: Sequence[int]) -> float | None:
    """tau-b of two rankings of the same responses; None where one of them ties everything."""
    shared = shared_rankings([PersonalRanking(0, 0, tuple(one)), PersonalRanking(0, 1, tuple(other))])
    return _tau_b(shared, np.ones(len(shared.items)))


def shared_rankings(rankings: Sequence[PersonalRanking]) -> SharedRankings:
    """All that two people share. Of one person's rankings of one item there must be one, the current one."""
    parts = [part for table in tables_by_size(rankings) for part in _shared_of_table(table)]
    if not parts:
        return SharedRankings(*(np.zeros(0, dtype=np.int64) for _ in SharedRankings._fields))
    return SharedRankings(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def overall_agreement(shared: SharedRankings) -> Estimate | None:
    """Of the pairs that two people put in an order, the share in the same one; each item weighs 1."""
    return _clustered_share(shared.items, shared.same, shared.same + shared.opposite)


def overall_tau_b(shared: SharedRankings) -> Estimate | None:
    """tau-b over all people who share items; each item weighs 1, the interval holds items together."""
    if not len(shared.items):
        return None
    weights = 1 / (shared.num_pairs * _rows_of_same_item(shared.items))
    groups, num_groups = groups_of_items(shared.items)
    # Which of two people stands first says nothing, so both take both places.
    ordered = shared.same + shared.opposite
    untied = ordered + (shared.first_only + shared.second_only) / 2
    sums = np.stack(
        [
            np.bincount(groups, weights * (shared.same - shared.opposite), num_groups),
            np.bincount(groups, weights * untied, num_groups),
        ],
        axis=1,
    ).astype(np.float64)

    def tau_b(sums: NDArray[np.float64]) -> float:
        return float(sums[0] / sums[1]) if sums[1] > 0 else math.nan

    return estimate_with_interval(sums, tau_b, len(np.unique(shared.items)))


def agreement_of_two(shared: SharedRankings, annotators: Collection[int]) -> dict[tuple[int, int], Agreement]:
    """(annotator, annotator), the lower id first -> how the two agree, for those of these who share an item."""
    known = np.array(sorted(annotators), dtype=np.int64)
    shared = _rows(shared, np.flatnonzero(np.isin(shared.first, known) & np.isin(shared.second, known)))
    keys = np.searchsorted(known, shared.first) * len(known) + np.searchsorted(known, shared.second)
    agreements = {}
    for key, rows in _rows_by(keys):
        first, second = divmod(key, len(known))
        agreements[int(known[first]), int(known[second])] = _agreement(_rows(shared, rows))
    return agreements


def agreement_with_others(shared: SharedRankings) -> dict[int, Agreement]:
    """Annotator -> how they agree with everybody else who ranked the same items."""
    turned = SharedRankings(
        shared.items,
        shared.second,
        shared.first,
        shared.num_pairs,
        shared.same,
        shared.opposite,
        shared.second_only,
        shared.first_only,
    )
    both = SharedRankings(*(np.concatenate([one, other]) for one, other in zip(shared, turned, strict=True)))
    return {annotator: _agreement(_rows(both, rows)) for annotator, rows in _rows_by(both.first)}


def _shared_of_table(table: RankingTable) -> list[SharedRankings]:
    num_rows, num_responses = table.ranks.shape
    two = np.array(list(itertools.combinations(range(num_responses), 2)))
    signs = np.sign(table.ranks[:, two[:, 1]] - table.ranks[:, two[:, 0]]).astype(np.int8)
    parts: list[SharedRankings] = []
    for distance in range(
        1, num_rows
    ):  # rows of one item stand together: the neighbour, the one after it, ...
        first = np.flatnonzero(table.items[:-distance] == table.items[distance:])
        if not len(first):
            break
        for chunk in np.split(first, range(_CHUNK, len(first), _CHUNK)):
            one, other = signs[chunk], signs[chunk + distance]
            product = one * other
            parts.append(
                SharedRankings(
                    table.items[chunk],
                    table.annotators[chunk],
                    table.annotators[chunk + distance],
                    np.full(len(chunk), len(two), dtype=np.int64),
                    (product > 0).sum(axis=1),
                    (product < 0).sum(axis=1),
                    ((one != 0) & (other == 0)).sum(axis=1),
                    ((one == 0) & (other != 0)).sum(axis=1),
                )
            )
    return parts


def _agreement(shared: SharedRankings) -> Agreement:
    weights = 1 / (shared.num_pairs * _rows_of_same_item(shared.items))
    return Agreement(
        overall_agreement(shared), _tau_b(shared, weights), num_items=len(np.unique(shared.items))
    )


def _tau_b(shared: SharedRankings, weights: NDArray[np.float64]) -> float | None:
    ordered = shared.same + shared.opposite
    untied = float(weights @ (ordered + shared.first_only)) * float(weights @ (ordered + shared.second_only))
    return float(weights @ (shared.same - shared.opposite)) / math.sqrt(untied) if untied > 0 else None


def _clustered_share(
    items: NDArray[np.int64], hits: NDArray[np.int64], of: NDArray[np.int64]
) -> Estimate | None:
    """The mean over items of each one's share of hits; items with nothing to hit are left out."""
    _, index = np.unique(items, return_inverse=True)
    own_hits, own_of = np.bincount(index, hits), np.bincount(index, of)
    counted = own_of > 0
    if not counted.any():
        return None
    shares = (own_hits[counted] / own_of[counted]).tolist()
    interval = clustered_wilson_interval(shares, int(own_of.sum()))
    return Estimate(math.fsum(shares) / len(shares), interval, len(shares))


def _rows_of_same_item(items: NDArray[np.int64]) -> NDArray[np.int64]:
    _, index, counts = np.unique(items, return_inverse=True, return_counts=True)
    return counts[index]


def _rows(shared: SharedRankings, rows: NDArray[np.int64]) -> SharedRankings:
    return SharedRankings(*(column[rows] for column in shared))


def _rows_by(keys: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    ends = [*starts[1:].tolist(), len(keys)]
    for key, start, end in zip(distinct.tolist(), starts.tolist(), ends, strict=False):
        yield key, order[start:end]
