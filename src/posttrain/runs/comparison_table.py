"""Runs side by side: the rows of a comparison, and the note's claim about PPO and GRPO beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from posttrain.runs.metric_names import duration_text, number_text
from posttrain.runs.run_numbers import RunNumbers


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


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 100_000 else f"{count:,}"
