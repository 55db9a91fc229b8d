"""How a training command ends: its exit status, and the lines that the results of all recipes have in common."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape

INTERRUPTED = 130
"""Exit status of a run that stopped before its end, as after Ctrl-C: a chain of commands must not go on."""


class RunResult(Protocol):
    """What every recipe says of a run; `model_folder` is None before its end."""

    @property
    def run_folder(self) -> Path:
        """Where all of it lies."""
        ...

    @property
    def step(self) -> int:
        """The last step that was done."""
        ...

    @property
    def model_folder(self) -> Path | None:
        """The trained model."""
        ...

    @property
    def alarms(self) -> tuple[str, ...]:
        """What deserves a look, a sentence each."""
        ...


def model_folder_or_exit(result: RunResult, console: Console) -> Path:
    """The trained model; for a run that is not finished says how it goes on, and exits with INTERRUPTED."""
    if result.model_folder is None:
        console.print(
            f"Not finished: {result.run_folder} is at step {result.step}. The same command goes on."
        )
        sys.exit(INTERRUPTED)
    return result.model_folder


def print_ending(
    result: RunResult, places: Mapping[str, Path | None], lines: Iterable[str], console: Console
) -> None:
    """The alarms, one line for each place that there is, then `lines`; lines are not folded."""
    for sentence in result.alarms:
        console.print(f"[yellow]look at:[/yellow] {escape(sentence)}")
    shown = [f"{name:8} {path}" for name, path in places.items() if path is not None]
    for line in (*shown, *lines):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
