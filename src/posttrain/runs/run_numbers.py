"""What a finished run came to and what it cost, read from its folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.errors import DataError
from posttrain.runs.metric_names import finite
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import read_rows

WINDOW = 5
"""Steps whose mean is the reward at the beginning and at the end."""


@dataclass(frozen=True)
class HeldOutPoint:
    """A held-out score: after how many steps, and after how many seconds of steps (measuring it not counted)."""

    step: int
    seconds: float
    score: float
    standard_error: float | None


@dataclass(frozen=True)
class RunNumbers:
    """One run in numbers; None is what it did not measure. Seconds are those of its steps."""

    name: str
    algorithm: str
    steps: int
    responses: int
    reward_first: float | None
    reward_last: float | None
    reference_kl: float | None
    kl_estimator: str | None
    held_out: tuple[HeldOutPoint, ...]
    seconds: float
    generate_seconds: float
    update_seconds: float
    peak_memory_bytes: int
    parameters_held: Mapping[str, int]

    @property
    def num_parameters(self) -> int:
        """Parameters of all its models together."""
        return sum(self.parameters_held.values())

    @property
    def update_seconds_per_response(self) -> float:
        """What is left where generating costs both algorithms the same."""
        return self.update_seconds / max(self.responses, 1)

    @property
    def seconds_per_response(self) -> float:
        """All of a step, over its responses."""
        return self.seconds / max(self.responses, 1)

    @property
    def responses_per_step(self) -> int:
        """Responses of a step, which decide about its memory."""
        return self.responses // max(self.steps, 1)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)


def run_numbers(folder: RunFolder, *, name: str, algorithm: str) -> RunNumbers:
    """The numbers of the run in this folder. DataError when no step of it was logged."""
    config, metrics, timings = folder.read_config(), read_rows(folder.metrics), read_rows(folder.timings)
    if not metrics or not timings:
        raise DataError(
            f"{folder.path} has no logged step, so there is nothing to compare. Run it to its end first."
        )
    section = config.get("algorithm", {})
    held_out = [row for row in read_rows(folder.evaluations) if finite(row, "accuracy") is not None]
    per_step = int(config["prompts_per_step"]) * int(config["responses_per_prompt"])
    return RunNumbers(
        name=name,
        algorithm=algorithm,
        steps=len(metrics),
        responses=len(metrics) * per_step,
        reward_first=_mean(metrics[:WINDOW], "reward_mean"),
        reward_last=_mean(metrics[-WINDOW:], "reward_mean"),
        reference_kl=finite(metrics[-1], "reference_kl"),
        kl_estimator=section.get("kl") if section.get("kl_coef", 0.0) > 0 else None,
        held_out=tuple(
            HeldOutPoint(
                int(row["step"]),
                _sum([t for t in timings if t["step"] <= row["step"]], "step_seconds"),
                float(row["accuracy"]),
                finite(row, "standard_error"),
            )
            for row in held_out
        ),
        seconds=_sum(timings, "step_seconds"),
        generate_seconds=_sum(timings, "generate_seconds"),
        update_seconds=_sum(timings, "update_seconds"),
        peak_memory_bytes=int(max((finite(row, "peak_memory_bytes") or 0.0) for row in timings)),
        parameters_held=dict(folder.read_facts().get("parameters_held", {})),
    )


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [value for row in rows if (value := finite(row, name)) is not None]
    return math.fsum(values) / len(values) if values else None


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return math.fsum(finite(row, name) or 0.0 for row in rows)
