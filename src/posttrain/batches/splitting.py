"""Rows of a batch -> parts that fit into memory: one forward (and backward) pass each."""

from __future__ import annotations

from collections.abc import Sequence

_SLACKS = (1.0, 1.05, 1.1, 1.2, 1.4, 1.7)


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
    The parts are about equally large: a small one at the end would run at a fraction of the others' speed.
    """
    rows = [row for row, counts in enumerate(counted) if counts]
    groups = list(range(len(lengths))) if groups is None else groups
    longest: dict[int, int] = {}
    for row in rows:
        longest[groups[row]] = max(longest.get(groups[row], 0), lengths[row])
    order = sorted(rows, key=lambda row: (-longest[groups[row]], groups[row], -lengths[row], row))
    plan = _fill(order, lengths, budget)
    even = sum(len(part) * lengths[part[0]] for part in plan) / max(len(plan), 1)
    for slack in _SLACKS:
        smaller = int(even * slack)
        if smaller >= budget:
            break
        candidate = _fill(order, lengths, smaller)
        if len(candidate) <= len(plan):
            return candidate
    return plan


def _fill(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
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
