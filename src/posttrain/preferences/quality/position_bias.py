"""Does the place where a card is shown decide how it is ranked?

Cards are shuffled for every person and item, so to someone who looks at the answers alone, place and rank are
independent: given the ranks, every order of the cards was equally likely. Under that, Spearman's rho between place
and rank has mean 0 and variance 1 / (responses - 1) in each ranking (Kendall and Gibbons 1990, Rank Correlation
Methods, ch. 4), so the sum over rankings divided by the root of the summed variances is close to standard normal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posttrain.evaluation.intervals import wilson_interval
from posttrain.preferences.quality.intervals import Estimate
from posttrain.preferences.quality.personal_ranking import PersonalRanking, doubled_places, rows_of


class RanksByPlace(NamedTuple):
    """Rankings of one number of cards whose order is known: whose, and `ranks` [rankings, places] of the cards shown
    at each place."""

    annotators: NDArray[np.int64]
    ranks: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PositionBias:
    """The test of place against rank, and what the effect is in plain counts.

    `correlation`: mean Spearman's rho; above 0, cards shown earlier are ranked better. `z` and two-sided `p_value`
    of no bias. `first_before_last`: how often the card shown first is ranked before the one shown last, ties left
    out; 0.5 is no bias. None where nobody ordered those two. `num_rankings`: those that tie not everything.
    """

    correlation: float
    z: float
    p_value: float
    first_before_last: Estimate | None
    num_rankings: int


@dataclass(frozen=True, slots=True)
class BestByPlace:
    """Of rankings with this many cards, the share in which the card at each place was ranked best (shared in ties)."""

    num_rankings: int
    shares: tuple[float, ...]


def position_bias(shown: Mapping[int, RanksByPlace]) -> PositionBias | None:
    """The test over all of `ranks_by_place`; None where no ranking orders anything."""
    total, variance, count, wins, losses = 0.0, 0.0, 0, 0, 0
    for _, ranks in shown.values():
        num_cards = ranks.shape[1]
        correlations = _spearman_with_place(ranks)
        total += float(correlations.sum())
        variance += len(correlations) / (num_cards - 1)
        count += len(correlations)
        wins += int((ranks[:, 0] < ranks[:, -1]).sum())
        losses += int((ranks[:, 0] > ranks[:, -1]).sum())
    if not count:
        return None
    z = total / math.sqrt(variance)
    decided = wins + losses
    first = Estimate(wins / decided, wilson_interval(wins / decided, decided), decided) if decided else None
    return PositionBias(total / count, z, math.erfc(abs(z) / math.sqrt(2)), first, count)


def position_bias_of_each(shown: Mapping[int, RanksByPlace]) -> dict[int, PositionBias]:
    """Annotator -> their own test, its p-value times the number of tests (Holm 1979), so that one in twenty stands
    out by chance among all of them together, not among each."""
    own: dict[int, dict[int, RanksByPlace]] = defaultdict(dict)
    for num_cards, (annotators, ranks) in shown.items():
        order = np.argsort(annotators, kind="stable")
        people, starts = np.unique(annotators[order], return_index=True)
        for annotator, rows in zip(people.tolist(), np.split(order, starts[1:]), strict=True):
            own[annotator][num_cards] = RanksByPlace(annotators[rows], ranks[rows])
    tests = {annotator: test for annotator, of in own.items() if (test := position_bias(of)) is not None}
    adjusted, largest = {}, 0.0
    for place, (annotator, test) in enumerate(sorted(tests.items(), key=lambda pair: pair[1].p_value)):
        largest = max(largest, min(1.0, test.p_value * (len(tests) - place)))
        adjusted[annotator] = PositionBias(
            test.correlation, test.z, largest, test.first_before_last, test.num_rankings
        )
    return adjusted


def best_by_place(shown: Mapping[int, RanksByPlace]) -> dict[int, BestByPlace]:
    """Number of cards -> how often each place held the best one; rankings that tie everything are left out."""
    found = {}
    for num_cards, (_, ranks) in sorted(shown.items()):
        best = (ranks == ranks.min(axis=1, keepdims=True)).astype(np.float64)
        best = best[best.sum(axis=1) < num_cards]
        if len(best):
            shares = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
            found[num_cards] = BestByPlace(len(best), tuple(shares.tolist()))
    return found


def ranks_by_place(rankings: Sequence[PersonalRanking]) -> dict[int, RanksByPlace]:
    """Number of cards -> what was ranked how at each place; rankings whose `order_shown` is not known are left out."""
    by_size: dict[int, list[PersonalRanking]] = defaultdict(list)
    for ranking in rankings:
        if len(ranking.order_shown) == len(ranking.ranks) > 1:
            by_size[len(ranking.ranks)].append(ranking)
    return {
        size: RanksByPlace(
            np.array([ranking.annotator_id for ranking in own], dtype=np.int64),
            np.take_along_axis(
                rows_of([ranking.ranks for ranking in own], size),
                rows_of([ranking.order_shown for ranking in own], size),
                axis=1,
            ),
        )
        for size, own in by_size.items()
    }


def _spearman_with_place(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """rho of each row of ranks [rankings, places] with the places; rows that tie everything have none."""
    num_cards = ranks.shape[1]
    rank = doubled_places(ranks) - (num_cards - 1.0)
    place = np.arange(num_cards) - (num_cards - 1) / 2
    spread = np.sqrt((rank**2).sum(axis=1) * float((place**2).sum()))
    return np.asarray((rank @ place)[spread > 0] / spread[spread > 0])
