"""`posttrain reward-model`: train, then print what held-out comparisons say of it."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from posttrain.commands.run_ending import model_folder_or_exit, print_ending
from posttrain.config.reward_model import RewardModelConfig
from posttrain.recipes.reward_model import PICTURE, reward_model
from posttrain.recipes.supervised import SupervisedResult
from posttrain.runs.metric_names import count_text, number_text

_ROWS = (
    ("accuracy", "accuracy (held-out pairs in the right order)"),
    ("loss", "loss (nats a pair)"),
    ("calibration_error", "calibration error (ECE)"),
    ("brier", "Brier score"),
    ("margin_mean", "mean margin"),
    ("score_mean", "mean score, raw"),
    ("score_std", "standard deviation of scores, raw"),
    ("length_pearson", "correlation with length, Pearson"),
    ("length_spearman", "correlation with length, Spearman"),
    ("favours_longer", "its favourite is the longer one"),
    ("people_favour_longer", "people's favourite is the longer one"),
)


def train_reward_model(config: RewardModelConfig) -> None:
    """Trains or goes on training, and prints the held-out numbers before and after."""
    print_result(reward_model(config), Console())


def print_result(result: SupervisedResult, console: Console) -> None:
    """The held-out numbers, where everything lies, and the accuracy last; exits where the run is not finished."""
    model_folder = model_folder_or_exit(result, console)
    after = result.after
    if after is not None:
        console.print(_table(result))
    places = {
        "picture": result.run_folder / PICTURE if after is not None else None,
        "numbers": result.run_folder / "evaluations.jsonl" if after is not None else None,
        "model": model_folder,
    }
    named = json.dumps(str(model_folder), ensure_ascii=False)
    lines = [f"use it:  reward.terms = [{{model = {named}}}]"]
    if after is not None:
        low, high = (100 * after[name] for name in ("accuracy_low", "accuracy_high"))
        lines.append(
            f"held-out accuracy: {100 * after['accuracy']:.1f} % (95 % interval {low:.1f} to {high:.1f}, "
            f"{count_text(after['num_pairs'], 'pair')})"
        )
    print_ending(result, places, lines, console)


def _table(result: SupervisedResult) -> Table:
    table = Table("held-out comparisons", "before", "after")
    before, after = result.before or {}, result.after or {}
    for name, meaning in _ROWS:
        table.add_row(meaning, number_text(before.get(name)), number_text(after.get(name)))
    for annotator, accuracy in after.get("accuracy_by_annotator", {}).items():
        earlier = before.get("accuracy_by_annotator", {}).get(annotator)
        name = escape(annotator or "(nobody named)")
        table.add_row(f"accuracy on what {name} ranked", number_text(earlier), number_text(accuracy))
    return table
