"""How often annotators are right where the answer is known."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from posttrain.evaluation.intervals import clustered_wilson_interval, mean
from posttrain.preferences.quality.intervals import Estimate
from posttrain.preferences.quality.personal_ranking import PersonalRanking


def gold_accuracy(
    rankings: Sequence[PersonalRanking], answers: Mapping[int, Sequence[int]]
) -> dict[int, Estimate]:
    """Annotator -> the share of the known answers' ordered pairs that they put in that order.

    `answers`: item -> its known ranks; what is not in there is left out, and so are pairs that the answer ties. A tie
    of the annotator counts half. Each item weighs 1, also in the interval. Guessing gives 0.5.
    """
    shares: dict[int, list[float]] = defaultdict(list)
    num_pairs: dict[int, int] = defaultdict(int)
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[float, int] | None] = {}
    for ranking in rankings:
        answer = answers.get(ranking.item_id)
        if answer is None:
            continue
        key = (ranking.ranks, tuple(answer))
        if key not in known:
            known[key] = _share_right(*key)
        if (found := known[key]) is not None:
            shares[ranking.annotator_id].append(found[0])
            num_pairs[ranking.annotator_id] += found[1]
    return {
        annotator: Estimate(mean(own), clustered_wilson_interval(own, num_pairs[annotator]), len(own))
        for annotator, own in shares.items()
    }


def _share_right(ranks: Sequence[int], answer: Sequence[int]) -> tuple[float, int] | None:
    """The share of the answer's ordered pairs that are right, and their number; None where it ties everything."""
    points = [
        1.0 if ranks[better] < ranks[worse] else 0.5 if ranks[better] == ranks[worse] else 0.0
        for better, worse in itertools.permutations(range(len(answer)), 2)
        if answer[better] < answer[worse]
    ]
    return (mean(points), len(points)) if points else None
