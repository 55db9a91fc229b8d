"""Rows of a batch -> mini-batches (one optimiser step each) -> micro-batches (one forward and backward each).

Both splits are pure functions of their arguments. That is what makes the ratio exactly 1 in float32 on the
first mini-batch: `Learner.logprobs` and `Learner.update` ask for the same plan and so run the same rows
beside each other with the same padding (matrix products round differently in other company).
"""

from __future__ import annotations

import itertools
import random

from posttrain.batches.splitting import plan_microbatches

__all__ = ["plan_microbatches", "plan_minibatches"]


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
