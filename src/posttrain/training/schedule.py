"""The learning rate as a function of optimiser steps taken, and of nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from posttrain.errors import ConfigError

ScheduleKind = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate for each number of optimiser steps already taken.

    A linear rise from 0 over the warm-up, then constant, or a fall to `final_share * learning_rate` at
    `total_steps` (and that value beyond). The unit is optimiser steps: neither micro-batches, nor ranks, nor
    rollouts; see `num_optimizer_steps`. The warm-up is `warmup_steps`, or `warmup_share` of `total_steps`
    rounded up. As in transformers, the very first step of a warm-up has rate 0.

    Raises ConfigError for settings that contradict each other.
    """

    learning_rate: float
    kind: ScheduleKind = "constant"
    warmup_steps: int = 0
    warmup_share: float = 0.0
    total_steps: int | None = None
    final_share: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "linear", "cosine"):
            raise ConfigError(f"unknown schedule {self.kind!r}: choose 'constant', 'linear' or 'cosine'")
        if not (math.isfinite(self.learning_rate) and self.learning_rate >= 0):
            raise ConfigError(f"learning_rate must be a finite number >= 0, got {self.learning_rate}")
        if not 0 <= self.warmup_share <= 1 or not 0 <= self.final_share <= 1 or self.warmup_steps < 0:
            raise ConfigError(
                "warmup_share and final_share are shares between 0 and 1 and warmup_steps is a count, got "
                f"{self.warmup_share}, {self.final_share} and {self.warmup_steps}"
            )
        if self.warmup_steps and self.warmup_share:
            raise ConfigError(
                f"both warmup_steps ({self.warmup_steps}) and warmup_share ({self.warmup_share}) are set: "
                "choose one of them"
            )
        if self.total_steps is None and (self.kind != "constant" or self.warmup_share):
            raise ConfigError(
                f"a {self.kind} schedule with warmup_share {self.warmup_share} needs total_steps: the number "
                "of optimiser steps of the whole run"
            )
        if self.total_steps is not None and not self.num_warmup_steps <= self.total_steps:
            raise ConfigError(
                f"the warm-up ({self.num_warmup_steps} steps) is longer than the run ({self.total_steps} "
                "steps): shorten it, or use warmup_share"
            )

    @property
    def num_warmup_steps(self) -> int:
        """Optimiser steps before the full rate is reached."""
        # 1e-9: 0.07 * 100 is 7.000000000000001 in binary and must not become 8
        return self.warmup_steps or math.ceil(self.warmup_share * (self.total_steps or 0) - 1e-9)

    def at(self, steps_taken: int) -> float:
        """The rate of the next optimiser step when `steps_taken` steps lie behind it."""
        warmup = self.num_warmup_steps
        if steps_taken < warmup:
            return self.learning_rate * steps_taken / warmup
        if self.kind == "constant" or self.total_steps is None:
            return self.learning_rate
        progress = min(1.0, (steps_taken - warmup) / max(1, self.total_steps - warmup))
        remaining = 1.0 - progress if self.kind == "linear" else (1.0 + math.cos(math.pi * progress)) / 2.0
        return self.learning_rate * (self.final_share + (1.0 - self.final_share) * remaining)


def num_optimizer_steps(*, iterations: int, minibatches_per_step: int, epochs_per_step: int) -> int:
    """Optimiser steps of a run: every iteration goes over its minibatches once per epoch.

    Example: 64 prompts x 8 responses in minibatches of 128 sequences are 4 minibatches; with 2 epochs that
    is 8 optimiser steps an iteration, on however many ranks.
    """
    return iterations * minibatches_per_step * epochs_per_step
