"""`posttrain pretrain`: train on text, then print the held-out loss and a piece of text from the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from posttrain.commands.run_ending import model_folder_or_exit, print_ending
from posttrain.config.pretrain import PretrainConfig
from posttrain.evaluation.printable import printable
from posttrain.recipes.pretrain import pretrain
from posttrain.recipes.pretraining_sample import SAMPLE_TEMPERATURE, sample_text
from posttrain.recipes.supervised import SupervisedResult


def train_pretrain(config: PretrainConfig) -> None:
    """Trains or goes on training; prints the numbers, a sample as it came, and where everything lies."""
    console = Console()
    result = pretrain(config)
    text, length = sample_text(model_folder_or_exit(result, console), config.compute, config.seed)
    console.print(
        f"a document's beginning, up to {length} tokens, drawn at temperature {SAMPLE_TEMPERATURE}, not chosen:",
        highlight=False,
        soft_wrap=True,
    )
    console.print(printable(text, keep_newlines=True), markup=False, highlight=False)
    print_result(result, console)


def print_result(result: SupervisedResult, console: Console) -> None:
    """Where everything lies, and the held-out numbers before and after."""
    places = {
        "curve": result.run_folder / "curve.png",
        "numbers": result.run_folder / "metrics.jsonl",
        "model": result.model_folder,
    }
    lines = [f'open it: AutoModelForCausalLM.from_pretrained("{result.model_folder}")']
    for name, measured in (("before", result.before), ("after", result.after)):
        if measured:
            lines.append(f"held-out {name + ':':8}{_measured(measured)}")
    print_ending(result, places, lines, console)


def _measured(measured: Mapping[str, Any]) -> str:
    return (
        f"loss {measured['loss']:.4f} nats per token, {measured['bits_per_byte']:.4f} bits per byte, "
        f"perplexity {measured['perplexity']:.2f}"
    )
