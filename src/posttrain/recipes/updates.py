"""Epochs x mini-batches of optimiser steps on one step's responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from posttrain.batches import PolicyBatch, PolicyValueBatch, ValueBatch
from posttrain.training.learner import Check, Learner
from posttrain.training.metrics import Metrics
from posttrain.training.objectives import Objective


def run_updates(
    learner: Learner,
    batch: PolicyBatch | ValueBatch | PolicyValueBatch,
    objective: Objective[Any],
    minibatches: Callable[[int, int], Sequence[Sequence[int]]],
    *,
    epochs: int,
    progress: Callable[[int, int], None],
    check_first: Check | None = None,
) -> dict[str, float]:
    """What was measured over all updates; `minibatches(epoch, number of rows)` are the rows of each of them.

    `check_first` sees the numbers of the first update before its step and may raise.
    """
    found, done = Metrics(), 0
    for epoch in range(epochs):
        plan = minibatches(epoch, len(batch))
        for rows in plan:
            progress(done, epochs * len(plan))
            check = check_first if done == 0 else None
            learner.update(batch.select(rows), objective, check=check)
            found, done = found + learner.last_update, done + 1
    return found.means()
