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
    differing: dict[int, float] = {}
    if len(shared.items):
        items, index = np.unique(shared.items, return_inverse=True)
        differing = dict(zip(items.tolist(), np.bincount(index, shared.disagreement()).tolist(), strict=True))
    num_ranked = Counter(ranking.item_id for ranking in rankings)
    num_cannot = Counter(cannot_rank)
    found = []
    for item in {item for item, count in num_ranked.items() if count > 1} | num_cannot.keys():
        ranked, cannot = num_ranked[item], num_cannot[item]
        people = ranked + cannot
        if people > 1:
            pairs_of_people = people * (people - 1) / 2
            score = (differing.get(item, 0.0) + ranked * cannot / 2) / pairs_of_people
            found.append(Disagreement(item, score, people, cannot))
    return sorted(found, key=lambda own: (-own.score, own.item_id))
