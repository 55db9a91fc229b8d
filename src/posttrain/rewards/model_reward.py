"""A reward model as a reward: complete responses earn what it says, cut ones earn 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from posttrain.types import Rollout, Score


class Scorer(Protocol):
    """What gives rollouts numbers: a frozen `models.reward_model.RewardModel`, or a script in tests."""

    @property
    def fingerprint(self) -> str:
        """A digest that another scorer does not have: of weights, calibration, and how text is read."""
        ...

    def score_rollouts(self, rollouts: Sequence[Rollout]) -> list[float]:
        """One number a rollout, in order; NaN where there is none."""
        ...


class ModelReward:
    """A `Reward` of a scorer. A response that was cut by length earns 0 and is not shown to the scorer.

    0 is the reward of a middling answer only after normalisation: a raw score has no level of its own.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        complete = [rollout for rollout in rollouts if rollout.is_complete]
        numbers = iter(self.scorer.score_rollouts(complete) if complete else [])
        return [_score(next(numbers)) if rollout.is_complete else Score(0.0) for rollout in rollouts]


def _score(number: float) -> Score:
    if math.isfinite(number):
        return Score(number)
    return Score(
        None,
        failure=f"the reward model gave {number}: prompt and response may be longer than it was made for, or its "
        "weights are damaged",
    )
