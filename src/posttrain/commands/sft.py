"""`posttrain sft`: fine-tune, then print what came of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from posttrain.commands.train import INTERRUPTED
from posttrain.config.sft import SFTConfig
from posttrain.recipes.sft import sft
from posttrain.recipes.supervised import SupervisedResult


def train_sft(config: SFTConfig) -> None:
    """Trains or goes on training, and prints the held-out numbers before and after."""
    result = sft(config)
    print_sft_result(result, Console())
    if result.model_folder is None:
        sys.exit(INTERRUPTED)


def print_sft_result(result: SupervisedResult, console: Console) -> None:
    """Where everything lies, and the held-out numbers last."""
    if result.model_folder is None:
        console.print(
            f"Not finished: {result.run_folder} is at step {result.step}. The same command goes on."
        )
        return
    for sentence in result.alarms:
        console.print(f"[yellow]look at:[/yellow] {escape(sentence)}")
    lines = [
        f"numbers  {result.run_folder / 'metrics.jsonl'}",
        f"model    {result.model_folder}",
        f'try it:  posttrain generate --model {result.model_folder} --prompt "..."',
        *(
            _in_words(name, found)
            for name, found in (("before", result.before), ("after", result.after))
            if found
        ),
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _in_words(when: str, found: Mapping[str, Any]) -> str:
    return (
        f"held-out {when + ':':7} loss {found['loss']:.3f} nats per target, token accuracy "
        f"{found['token_accuracy']:.1%}, perplexity {found['perplexity']:.2f} ({found['num_targets']:.0f} targets)"
    )
