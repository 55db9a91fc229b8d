"""`posttrain sft`: fine-tune, then print what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from posttrain.commands.run_ending import model_folder_or_exit, print_ending
from posttrain.config.sft import SFTConfig
from posttrain.recipes.sft import sft
from posttrain.recipes.supervised import SupervisedResult


def train_sft(config: SFTConfig) -> None:
    """Trains or goes on training, and prints the held-out numbers before and after."""
    print_result(sft(config), Console())


def print_result(result: SupervisedResult, console: Console) -> None:
    """Where everything lies, and the held-out numbers last; exits where the run is not finished."""
    model_folder = model_folder_or_exit(result, console)
    places = {"numbers": result.run_folder / "metrics.jsonl", "model": model_folder}
    lines = [
        f'try it:  posttrain generate --model {model_folder} --prompt "..."',
        *(
            _in_words(name, found)
            for name, found in (("before", result.before), ("after", result.after))
            if found
        ),
    ]
    print_ending(result, places, lines, console)


def _in_words(when: str, found: Mapping[str, Any]) -> str:
    return (
        f"held-out {when + ':':7} loss {found['loss']:.3f} nats per target, token accuracy "
        f"{found['token_accuracy']:.1%}, perplexity {found['perplexity']:.2f} ({found['num_targets']:.0f} targets)"
    )
