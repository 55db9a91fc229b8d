"""`posttrain grpo`: train, then print what came of it."""

from __future__ import annotations

from rich.console import Console

from posttrain.config.grpo import GRPOConfig
from posttrain.evaluation.table import compare, comparison_table
from posttrain.recipes.grpo import GRPOResult, grpo


def train_grpo(config: GRPOConfig) -> None:
    """Trains or goes on training, and prints before and after."""
    print_result(grpo(config), Console())


def print_result(result: GRPOResult, console: Console) -> None:
    """Samples before and after, where everything lies, and the two held-out scores last."""
    if result.model_folder is None:
        console.print(
            f"Not finished: {result.run_folder} is at step {result.step}. The same command goes on."
        )
        return
    before, after = result.before, result.after
    console.print(comparison_table(before, after, max_rows=8))
    console.print(f"change: {compare(before, after).summary()}")
    for sentence in result.alarms:
        console.print(f"[yellow]look at:[/yellow] {sentence}")
    rows = {
        "curve": result.run_folder / "curve.png",
        "samples": result.run_folder / "samples.html",
        "numbers": result.run_folder / "metrics.jsonl",
        "model": result.model_folder,
    }
    for name, path in rows.items():
        console.print(f"{name:8} {path}", highlight=False, soft_wrap=True)
    console.print(
        f'open it: AutoModelForCausalLM.from_pretrained("{result.model_folder}")',
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"held-out exact match before: {100 * before.correct_share:.1f} %", highlight=False)
    console.print(f"held-out exact match after:  {100 * after.correct_share:.1f} %", highlight=False)
