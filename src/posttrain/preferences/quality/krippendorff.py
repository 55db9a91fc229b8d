"""Krippendorff's alpha for ordered values: 1 when all agree, 0 when they agree as often as chance would.

Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). A unit is what several people give a value:
here one response of one item. With o[c, k] the coincidences of values c and k within units (each unit's pairs of
values divided by its number of values less one), n[c] their row sums and n their total:

    alpha = 1 - (n - 1) * sum o[c, k] d[c, k] / sum n[c] n[k] d[c, k]
    d[c, k] = (sum of n[g] for g from c to k, less (n[c] + n[k]) / 2) ** 2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posttrain.preferences.quality.intervals import (
    Estimate,
    estimate_with_interval,
    groups_of_items,
)
from posttrain.preferences.quality.personal_ranking import (
    PersonalRanking,
    RankingTable,
    doubled_places,
    tables_by_size,
)


def ordinal_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Alpha of units, each the values that people gave it; a missing value is left out, so units differ in length.

    None where no unit has two values, or all values are the same: then nothing could differ.
    """
    values = sorted({value for unit in units for value in unit})
    place = {value: index for index, value in enumerate(values)}
    counts = np.zeros((len(units), len(values)))
    for row, unit in enumerate(units):
        for value in unit:
            counts[row, place[value]] += 1
    alpha = alpha_of_coincidences(coincidences(counts))
    return alpha if np.isfinite(alpha) else None


def coincidences(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """o [values, values] from how often each unit got each value [units, values]; single values pair with nothing."""
    per_unit = counts.sum(axis=1)
    counts, per_unit = counts[per_unit > 1], per_unit[per_unit > 1]
    shared = counts / (per_unit[:, None] - 1)
    return np.asarray(shared.T @ counts - np.diag(shared.sum(axis=0)))


def alpha_of_coincidences(observed: NDArray[np.float64]) -> float:
    """Alpha of o [values in order, values in order]; NaN where no two values can differ."""
    totals = observed.sum(axis=1)
    middle = np.cumsum(totals) - totals / 2  # of each value among all: their differences are the roots of d
    distance = (middle[:, None] - middle[None, :]) ** 2
    expected = float(totals @ distance @ totals)
    if expected <= 0:
        return float("nan")
    return 1.0 - (float(totals.sum()) - 1) * float((observed * distance).sum()) / expected


def rank_alpha(rankings: Sequence[PersonalRanking]) -> Estimate | None:
    """Alpha of the places that people gave to responses, with an interval that holds items together.

    Places, not ranks: (0, 1, 1) and (0, 1, 2) agree about the first only (see `doubled_places`). Third of three and
    third of eight are not the same value, so alpha is computed for each number of responses and averaged, each
    weighing as many places as it has that can be compared. None where no item has two rankings that could differ.
    """
    tables = [table for table in map(_judged_twice, tables_by_size(rankings)) if len(table.items)]
    if not tables:
        return None
    items = np.concatenate([table.items for table in tables])
    groups, num_groups = groups_of_items(items)
    # One block of coincidences for each number of responses; all in one array, so that a group is one row of it.
    blocks: list[NDArray[np.float64]] = []
    start = 0
    for table in tables:
        own = groups[start : start + len(table.items)]
        start += len(table.items)
        blocks.append(_coincidences_by_group(table, own, num_groups))
    sizes = [block.shape[1] for block in blocks]
    sums = np.concatenate([block.reshape(num_groups, -1) for block in blocks], axis=1)

    def mean_alpha(flat: NDArray[np.float64]) -> float:
        alphas, weights, offset = [], [], 0
        for size in sizes:
            observed = flat[offset : offset + size * size].reshape(size, size)
            offset += size * size
            if np.isfinite(alpha := alpha_of_coincidences(observed)):
                alphas.append(alpha)
                weights.append(observed.sum())
        return float(np.average(alphas, weights=weights)) if alphas else float("nan")

    return estimate_with_interval(sums, mean_alpha, len(np.unique(items)))


def value_alpha(given: Sequence[tuple[int, Sequence[float | None]]]) -> Estimate | None:
    """Alpha of grades or of marks (True or False), with an interval as `rank_alpha`'s.

    Each entry is an item and what one person gave its responses, None where nothing. None where no response got two
    values, or all values are the same.
    """
    longest = max((len(values) for _, values in given), default=0)
    flat = [value for _, values in given for value in values]
    filled = np.array([value is not None for value in flat], dtype=bool)
    if not filled.any():
        return None
    lengths = [len(values) for _, values in given]
    first = np.repeat(np.array([item for item, _ in given]) * longest, lengths)
    position = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    units, unit_of, per_unit = np.unique((first + position)[filled], return_inverse=True, return_counts=True)
    kinds, kind_of = np.unique(np.array([value for value in flat if value is not None]), return_inverse=True)
    counts = np.bincount(unit_of * len(kinds) + kind_of, minlength=len(units) * len(kinds))
    several = per_unit > 1
    if not several.any():
        return None
    counts = counts.reshape(len(units), len(kinds))[several].astype(np.float64)
    item_of = units[several] // longest
    groups, num_groups = groups_of_items(item_of)
    sums = np.array([coincidences(counts[groups == group]) for group in range(num_groups)])
    return estimate_with_interval(sums, alpha_of_coincidences, len(np.unique(item_of)))


def _judged_twice(table: RankingTable) -> RankingTable:
    _, index, per_item = np.unique(table.items, return_inverse=True, return_counts=True)
    several = per_item[index] > 1
    return RankingTable(table.items[several], table.annotators[several], table.ranks[several])


def _coincidences_by_group(
    table: RankingTable, groups: NDArray[np.int64], num_groups: int
) -> NDArray[np.float64]:
    """[groups, values, values]; the values are doubled places, 0 to 2 (responses - 1)."""
    num_responses = table.ranks.shape[1]
    num_values = 2 * num_responses - 1
    places = doubled_places(table.ranks)
    items, item_of = np.unique(table.items, return_inverse=True)
    units = item_of[:, None] * num_responses + np.arange(num_responses)
    counts = np.bincount(
        (units * num_values + places).ravel(), minlength=len(items) * num_responses * num_values
    ).reshape(len(items), num_responses, num_values)
    group_of = np.empty(len(items), dtype=np.int64)
    group_of[item_of] = groups
    return np.array(
        [
            coincidences(counts[group_of == group].reshape(-1, num_values).astype(np.float64))
            for group in range(num_groups)
        ]
    )
