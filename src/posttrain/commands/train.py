"""`posttrain grpo`: train, then print what came of it."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

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
    if before is not None and after is not None:
        console.print(comparison_table(before, after, max_rows=8))
        console.print(f"change: {compare(before, after).summary()}")
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
        lines.append(f"held-out exact match before: {100 * before.correct_share:.1f} %")
        lines.append(f"held-out exact match after:  {100 * after.correct_share:.1f} %")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
