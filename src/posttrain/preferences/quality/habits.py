"""How people work: the time they take, and how often they tie."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posttrain.preferences.quality.personal_ranking import PersonalRanking, tables_by_size


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
    sums: dict[int, float] = defaultdict(float)
    counts: Counter[int] = Counter()
    for table in tables_by_size(rankings):
        pairs = list(itertools.combinations(table.ranks.T, 2))
        shares = np.add.reduce([one == other for one, other in pairs], dtype=np.float64) / len(pairs)
        annotators, of_row, num_rows = np.unique(table.annotators, return_inverse=True, return_counts=True)
        totals = np.bincount(of_row, shares)
        for annotator, total, num in zip(
            annotators.tolist(), totals.tolist(), num_rows.tolist(), strict=True
        ):
            sums[annotator] += total
            counts[annotator] += num
    return {annotator: total / counts[annotator] for annotator, total in sums.items()}
