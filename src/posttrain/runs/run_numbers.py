"""What a finished run came to and what it cost, read from its folder: the columns of a comparison."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.errors import DataError
from posttrain.runs.metric_names import duration_text, finite, number_text
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


def comparison_rows(runs: Sequence[RunNumbers]) -> list[tuple[str, list[str]]]:
    """What is compared, and for each run its value as text."""

    def held_out(run: RunNumbers) -> str:
        if not run.held_out:
            return "nothing held out"
        first, last = run.held_out[0], run.held_out[-1]
        error = "" if last.standard_error is None else f" +- {last.standard_error:.3f}"
        return f"{first.score:.3f} -> {last.score:.3f}{error}"

    def kl(run: RunNumbers) -> str:
        if run.kl_estimator is None:
            return "not measured"
        return f"{number_text(run.reference_kl)} ({run.kl_estimator})"

    def parameters(run: RunNumbers) -> str:
        parts = [f"{role} {_millions(n)}" for role, n in run.parameters_held.items() if n]
        return f"{_millions(run.num_parameters)} ({', '.join(parts)})"

    estimators = {run.kl_estimator for run in runs if run.kl_estimator is not None}
    kl_label = "KL from the start"
    if len(estimators) > 1:
        kl_label += " (not comparable: estimators differ)"
    columns = {
        "algorithm": lambda run: run.algorithm,
        "steps x responses": lambda run: f"{run.steps} x {run.responses_per_step}",
        "reward": lambda run: f"{number_text(run.reward_first)} -> {number_text(run.reward_last)}",
        "held-out score": held_out,
        kl_label: kl,
        "time of all steps": lambda run: duration_text(run.seconds),
        "  generating": lambda run: duration_text(run.generate_seconds),
        "  updating": lambda run: duration_text(run.update_seconds),
        "peak memory": lambda run: f"{run.peak_memory_bytes / 2**20:,.0f} MiB",
        "parameters held": parameters,
    }
    return [(label, [show(run) for run in runs]) for label, show in columns.items()]


def what_the_note_says(runs: Sequence[RunNumbers]) -> str | None:
    """The note's claim about dropping the critic beside what was measured, or why it cannot be.

    None without a run of each algorithm.
    """
    found = {algorithm: [run for run in runs if run.algorithm == algorithm] for algorithm in ("ppo", "grpo")}
    if not all(found.values()):
        return None
    ppo, grpo = found["ppo"][0], found["grpo"][0]
    if ppo.responses_per_step != grpo.responses_per_step:
        return (
            "The note's claim that GRPO needs about 50 % less memory and compute than PPO is not checked: a step of "
            f"{ppo.name} has {ppo.responses_per_step} responses and one of {grpo.name} {grpo.responses_per_step}. "
            "Make prompts_per_step x responses_per_prompt equal."
        )
    return (
        "The note says that GRPO, by dropping the critic, needs about 50 % less memory and compute than PPO. Measured "
        f"here, {grpo.name} beside {ppo.name}: {_less(grpo.num_parameters, ppo.num_parameters)} parameters held, "
        f"{_less(grpo.peak_memory_bytes, ppo.peak_memory_bytes)} peak memory of the process, "
        f"{_less(grpo.update_seconds_per_response, ppo.update_seconds_per_response)} time to update on a response, "
        f"{_less(grpo.seconds_per_response, ppo.seconds_per_response)} time for a response with its generation."
    )


def _less(value: float, than: float) -> str:
    if than <= 0:
        return "an unknown share of"
    saved = 100 * (1 - value / than)
    return f"{abs(saved):.0f} % {'less' if saved >= 0 else 'more'}"


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [value for row in rows if (value := finite(row, name)) is not None]
    return math.fsum(values) / len(values) if values else None


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return math.fsum(finite(row, name) or 0.0 for row in rows)


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 100_000 else f"{count:,}"
