"""Rows of a batch -> mini-batches (one optimiser step each) -> micro-batches (one forward and backward each).

Both splits are pure functions of their arguments. That is what makes the ratio exactly 1 in float32 on the
first mini-batch: `Learner.logprobs` and `Learner.update` ask for the same plan and so run the same rows
beside each other with the same padding (matrix products round differently in other company).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence


def plan_minibatches(
    num_rows: int, num_minibatches: int, *, seed: int, step: int, epoch: int
) -> list[list[int]]:
    """The rows of each mini-batch: every row once, sizes that differ by at most one, none empty.

    The order is drawn from (seed, step, epoch) alone, so nothing about it needs to be saved to resume.
    With one mini-batch the rows keep their order.
    """
    rows = list(range(num_rows))
    if num_minibatches > 1:
        random.Random(f"minibatches/{seed}/{step}/{epoch}").shuffle(rows)
    count = min(num_minibatches, num_rows)
    # 10 rows in 4 parts: sizes 2, 3, 2, 3, so that no row is dropped and none counts twice
    bounds = [part * num_rows // count for part in range(count + 1)] if count else [0]
    return [rows[start:stop] for start, stop in itertools.pairwise(bounds)]


def plan_microbatches(
    lengths: Sequence[int],
    counted: Sequence[bool],
    *,
    budget: int,
    groups: Sequence[int] | None = None,
) -> list[list[int]]:
    """The rows of each micro-batch: longest first, rows x longest row <= `budget`, at least one row each.

    Rows that are not `counted` appear in none. Sorting by length keeps padding small; the longest come first
    so that memory, if it is short, is short at the start of a step. Rows with one number in `groups` have a
    prompt in common and stay beside each other, so that it is computed once for as many of them as possible.
    """
    rows = [row for row, counts in enumerate(counted) if counts]
    groups = list(range(len(lengths))) if groups is None else groups
    longest: dict[int, int] = {}
    for row in rows:
        longest[groups[row]] = max(longest.get(groups[row], 0), lengths[row])
    order = sorted(rows, key=lambda row: (-longest[groups[row]], groups[row], -lengths[row], row))
    plan: list[list[int]] = []
    width = 0
    for row in order:
        if plan and (len(plan[-1]) + 1) * max(width, lengths[row]) <= budget:
            plan[-1].append(row)
            width = max(width, lengths[row])
        else:
            plan.append([row])
            width = lengths[row]
    return plan
