"""Rewards that run in this process: our own verifiers, lengths, and scripted ones for tests and docs.

Only code that is known to be fast and safe belongs here; a user's function goes to `functions`.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from posttrain.errors import ConfigError
from posttrain.types import Rollout, Score


@dataclass(frozen=True, slots=True)
class VerifierReward:
    """A `Reward` of one verifier `(completion, columns, **options) -> float`; an exception leaves a sample unscored."""

    verifier: Callable[..., float]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        return [
            _guarded(lambda r=rollout: self.verifier(r.text, r.prompt.columns, **self.options))  # type: ignore[misc]
            for rollout in rollouts
        ]


@dataclass(frozen=True, slots=True)
class ScriptedReward:
    """A `Reward` of a plain function of one rollout, for tests and documentation.

    Example:
        reward = ScriptedReward(lambda rollout: float("7" in rollout.text))
    """

    function: Callable[[Rollout], float | None]

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        return [_guarded(lambda r=rollout: self.function(r)) for rollout in rollouts]  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class LengthReward:
    """1.0 while a response is between `minimum` and `maximum` long, falling to 0.0 over `slack` beyond them.

    `target` sets both bounds to one length. `unit`: "tokens" (every sampled one), "words" or "characters".
    """

    minimum: int = 0
    maximum: int | None = None
    target: int | None = None
    slack: int = 0
    unit: Literal["tokens", "words", "characters"] = "tokens"

    def __post_init__(self) -> None:
        if self.unit not in ("tokens", "words", "characters"):
            raise ConfigError(f"length_reward: unit is 'tokens', 'words' or 'characters', not {self.unit!r}")
        if self.target is not None and (self.minimum != 0 or self.maximum is not None):
            raise ConfigError("length_reward: give either `target`, or `minimum` and `maximum`, not both")
        if self.target is None and self.minimum == 0 and self.maximum is None:
            raise ConfigError(
                "length_reward: without minimum, maximum or target every response would earn 1.0; set one"
            )
        low, high = self._bounds()
        if low < 0 or self.slack < 0 or high < low:
            raise ConfigError(
                f"length_reward: needs 0 <= minimum <= maximum and slack >= 0, not minimum = {low}, "
                f"maximum = {high:g}, slack = {self.slack}"
            )

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        return [Score(self.of_length(self._length(rollout))) for rollout in rollouts]

    def of_length(self, length: int) -> float:
        """The reward of a response of this length."""
        low, high = self._bounds()
        beyond = max(low - length, length - high, 0)
        if beyond == 0:
            return 1.0
        return max(0.0, 1.0 - beyond / self.slack) if self.slack else 0.0

    def _bounds(self) -> tuple[float, float]:
        if self.target is not None:
            return self.target, self.target
        return self.minimum, math.inf if self.maximum is None else self.maximum

    def _length(self, rollout: Rollout) -> int:
        if self.unit == "tokens":
            return len(rollout.response_ids)
        return len(rollout.text.split()) if self.unit == "words" else len(rollout.text)


def _guarded(function: Callable[[], float | None]) -> Score:
    """The function's value, or why it gave none that can be trained on."""
    try:
        value = function()
    except Exception:
        return Score(None, failure=traceback.format_exc(limit=-10))
    if value is None:
        return Score(None, failure="the reward returned None")
    number = float(value)
    return Score(number) if math.isfinite(number) else Score(None, failure=f"the reward returned {number}")
