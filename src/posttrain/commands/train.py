"""`posttrain grpo` and `posttrain ppo`: train, then print what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from posttrain.commands.run_ending import model_folder_or_exit, print_ending
from posttrain.config.grpo import GRPOConfig
from posttrain.config.ppo import PPOConfig
from posttrain.errors import DataError
from posttrain.evaluation.table import compare, comparison_table

if TYPE_CHECKING:
    from posttrain.recipes.policy_run import PolicyResult


def train_grpo(config: GRPOConfig) -> None:
    """Trains or goes on training, and prints before and after."""
    from posttrain.recipes.grpo import grpo

    print_result(grpo(config), Console())


def train_ppo(config: PPOConfig) -> None:
    """The same with PPO."""
    from posttrain.recipes.ppo import ppo

    print_result(ppo(config), Console())


def print_result(result: PolicyResult, console: Console) -> None:
    """Samples before and after, where everything lies, the held-out scores last; exits where it is not finished."""
    model_folder = model_folder_or_exit(result, console)
    before, after = result.before, result.after
    if before is not None and after is not None:
        try:
            table, change = comparison_table(before, after, max_rows=8), compare(before, after).summary()
            console.print(table)
            console.print(f"change: {change}")
        except DataError as error:  # resumed with another size of the evaluation
            console.print(f"before and after: {escape(str(error))}")
    places = {
        "curve": result.run_folder / "curve.png",
        "samples": result.run_folder / "samples.html",
        "numbers": result.run_folder / "metrics.jsonl",
        "model": model_folder,
    }
    lines = [f'open it: AutoModelForCausalLM.from_pretrained("{model_folder}")']
    if before is not None and after is not None:
        if result.is_exact:
            lines.append(f"held-out exact match before: {100 * before.correct_share:.1f} %")
            lines.append(f"held-out exact match after:  {100 * after.correct_share:.1f} %")
        else:
            lines.append(f"held-out mean score before: {before.accuracy:.3f}")
            lines.append(f"held-out mean score after:  {after.accuracy:.3f}")
    print_ending(result, places, lines, console)
