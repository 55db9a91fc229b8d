"""`posttrain grpo` and `posttrain ppo`: train, then print what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from posttrain.config.grpo import GRPOConfig
from posttrain.config.ppo import PPOConfig
from posttrain.errors import DataError
from posttrain.evaluation.table import compare, comparison_table

if TYPE_CHECKING:
    from posttrain.recipes.policy_run import PolicyResult

INTERRUPTED = 130
"""Exit status of a run that stopped before its end, as after Ctrl-C: a chain of commands must not go on."""


def train_grpo(config: GRPOConfig) -> None:
    """Trains or goes on training, and prints before and after."""
    from posttrain.recipes.grpo import grpo

    _finish(grpo(config))


def train_ppo(config: PPOConfig) -> None:
    """The same with PPO."""
    from posttrain.recipes.ppo import ppo

    _finish(ppo(config))


def _finish(result: PolicyResult) -> None:
    print_result(result, Console())
    if result.model_folder is None:
        sys.exit(INTERRUPTED)


def print_result(result: PolicyResult, console: Console) -> None:
    """Samples before and after, where everything lies, and the two held-out scores last."""
    if result.model_folder is None:
        console.print(
            f"Not finished: {result.run_folder} is at step {result.step}. The same command goes on."
        )
        return
    before, after = result.before, result.after
    if before is not None and after is not None:
        try:
            table, change = comparison_table(before, after, max_rows=8), compare(before, after).summary()
            console.print(table)
            console.print(f"change: {change}")
        except DataError as error:  # resumed with another size of the evaluation
            console.print(f"before and after: {escape(str(error))}")
    for sentence in result.alarms:
        console.print(f"[yellow]look at:[/yellow] {escape(sentence)}")
    rows = {
        "curve": result.run_folder / "curve.png",
        "samples": result.run_folder / "samples.html",
        "numbers": result.run_folder / "metrics.jsonl",
        "model": result.model_folder,
    }
    lines = [f"{name:8} {path}" for name, path in rows.items()]
    lines.append(f'open it: AutoModelForCausalLM.from_pretrained("{result.model_folder}")')
    if before is not None and after is not None:
        if result.is_exact:
            lines.append(f"held-out exact match before: {100 * before.correct_share:.1f} %")
            lines.append(f"held-out exact match after:  {100 * after.correct_share:.1f} %")
        else:
            lines.append(f"held-out mean score before: {before.accuracy:.3f}")
            lines.append(f"held-out mean score after:  {after.accuracy:.3f}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
