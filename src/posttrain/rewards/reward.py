"""The seam between rollouts and whatever judges them: one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from posttrain.types import Rollout, Score


class Reward(Protocol):
    """Judges rollouts; one `Score` for each, in order, `value=None` where it could not be scored."""

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in the order given."""
        ...
