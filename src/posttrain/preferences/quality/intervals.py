"""How sure a number is: an estimate with its 95 % interval, by leaving out groups of items in turn (jackknife).

Judgements of one item resemble each other, and so do its responses; items do not. So items are the unit: each stays
whole in one group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posttrain.evaluation.intervals import Z_95

MAX_GROUPS = 50
"""Groups of items that are left out in turn; with fewer items, each is a group."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its 95 % interval (None where the items do not vary, so nothing is known of it), and its items."""

    value: float
    interval: tuple[float, float] | None
    num_items: int


def groups_of_items(items: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """For each row the group of its item, and how many groups there are; equal sizes, drawn at random but fixed."""
    distinct, index = np.unique(items, return_inverse=True)
    num_groups = min(MAX_GROUPS, len(distinct))
    group_of = np.random.Generator(np.random.PCG64(0)).permutation(len(distinct)) % max(1, num_groups)
    return group_of[index], num_groups


def jackknife_error(
    group_sums: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Standard error of `statistic(sum of the groups' sums)`; `group_sums` is [groups, ...].

    Delete-a-group jackknife (Shao and Wu 1989): (G - 1) / G times the squared deviations of what the statistic is
    without each group. NaN where leaving out a group leaves it undefined.
    """
    num_groups = len(group_sums)
    total = group_sums.sum(axis=0)
    without = np.array([statistic(total - own) for own in group_sums])
    deviations = without - without.mean(axis=0)
    return np.asarray(np.sqrt((num_groups - 1) / num_groups * (deviations**2).sum(axis=0)))


def estimate_with_interval(
    group_sums: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float], num_items: int
) -> Estimate | None:
    """The statistic of all groups with its interval; None where it is undefined (NaN)."""
    value = float(statistic(group_sums.sum(axis=0)))
    if not np.isfinite(value):
        return None
    if len(group_sums) < 2:
        return Estimate(value, None, num_items)
    error = float(jackknife_error(group_sums, lambda sums: np.asarray(statistic(sums))))
    if not np.isfinite(error) or error < 1e-12:
        return Estimate(value, None, num_items)
    half = student_t_95(len(group_sums) - 1) * error
    return Estimate(value, (max(-1.0, value - half), min(1.0, value + half)), num_items)


def student_t_95(degrees: int) -> float:
    """The 97.5 % quantile of Student's t: half the width of a 95 % interval in standard errors.

    Exact for 1 and 2 degrees; from 3 on Cornish and Fisher's expansion about the normal quantile, right to 1 %.
    """
    if degrees < 1:
        raise ValueError("Student's t needs at least one degree of freedom")
    if degrees < 3:
        return (12.706204736432095, 4.302652729696142)[degrees - 1]
    z, n = Z_95, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
