"""How people work: the time they take, and how often they tie."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posttrain.preferences.quality.personal_ranking import PersonalRanking


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds at an item: the middle, and the times that one in ten is below and above."""

    median: float
    low: float
    high: float
    num: int


def times(seconds: Sequence[float]) -> Times | None:
    """Median and the tenths at both ends; None where no time was measured."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Times(
        statistics.median(ordered), ordered[round(0.1 * last)], ordered[round(0.9 * last)], len(ordered)
    )


def shares_tied(rankings: Sequence[PersonalRanking]) -> Mapping[int, float]:
    """Annotator -> of the pairs of responses in their rankings, the share that they tied; each ranking weighs 1."""
    of_ranks: dict[tuple[int, ...], float] = {}
    sums: dict[int, float] = defaultdict(float)
    counts: Counter[int] = Counter()
    for ranking in rankings:
        if len(ranking.ranks) < 2:
            continue
        if ranking.ranks not in of_ranks:
            tied = sum(count * (count - 1) for count in Counter(ranking.ranks).values())
            of_ranks[ranking.ranks] = tied / (len(ranking.ranks) * (len(ranking.ranks) - 1))
        sums[ranking.annotator_id] += of_ranks[ranking.ranks]
        counts[ranking.annotator_id] += 1
    return {annotator: total / counts[annotator] for annotator, total in sums.items()}
