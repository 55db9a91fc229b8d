"""The items that people judged differently, those they differ most about first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.quality.rank_agreement import SharedRankings

WORTH_SETTLING: Final = 0.5
"""Two people who order at random differ by this much: from here on, together they say nothing about the item."""


class Disagreement(NamedTuple):
    """How far people differ about an item: 0 all alike, 1 two people in opposite orders.

    `score` is the mean over every two of them of the share of response pairs on which they differ; a pair that one
    of them tied counts half, and so does an item that one of them ranked and the other could not.
    """

    item_id: int
    score: float
    num_people: int
    num_cannot_rank: int


def disagreements(
    rankings: Sequence[PersonalRanking], shared: SharedRankings, cannot_rank: Iterable[int]
) -> list[Disagreement]:
    """Every item that two people judged, the largest disagreement first, then in the order of the items.

    `shared` is `shared_rankings(rankings)`; `cannot_rank` holds the item of each judgement that says that the item
    cannot be ranked.
    """
    cannot_by_item = Counter(cannot_rank)
    items, ranked = np.unique(
        np.array([*(ranking.item_id for ranking in rankings), *cannot_by_item], dtype=np.int64),
        return_counts=True,
    )
    cannot = np.zeros(len(items), dtype=np.int64)
    cannot[np.searchsorted(items, list(cannot_by_item))] = list(cannot_by_item.values())
    ranked -= cannot > 0  # each of these items was put among the rankings' once
    differing = np.bincount(np.searchsorted(items, shared.items), shared.disagreement(), len(items))
    people = ranked + cannot
    score = (differing + ranked * cannot / 2) / np.maximum(people * (people - 1) / 2, 1)
    order = np.lexsort((items, -score))
    order = order[people[order] > 1]
    columns = (column[order].tolist() for column in (items, score, people, cannot))
    return list(map(Disagreement, *columns))
