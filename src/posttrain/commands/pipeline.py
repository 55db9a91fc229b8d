"""`posttrain pipeline`: stages from one file, each done once, and one table at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrain.commands.run_ending import INTERRUPTED
from posttrain.config.loading import SettingsText, load_config, read_settings
from posttrain.config.pipeline import PipelineConfig
from posttrain.evaluation.printable import printable
from posttrain.pipelines import PipelineResult, pipeline, plan
from posttrain.runs.metric_names import duration_text

_WIDTH_IN_FILES = 140
"""Columns of the table where no terminal says how many there are."""


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline's settings, and the file they stand in, for errors that name a line."""

    config: PipelineConfig
    text: SettingsText


def read_pipeline(path: Path | None, words: Sequence[str]) -> PipelineFile:
    """The pipeline of a file with overrides; `--from` is short for `--from-stage`."""
    words = [
        "--from-stage" + word[6:] if word == "--from" or word.startswith("--from=") else word
        for word in words
    ]
    config = load_config(PipelineConfig, path, words)
    return PipelineFile(config, read_settings(path)[0])


def run_pipeline(file: PipelineFile) -> None:
    """Runs what is not done, and prints what each stage came to; with `dry_run` only what would run and why."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_IN_FILES)
    if file.config.dry_run:
        _print_plan(file, console)
        return
    result = pipeline(file.config, text=file.text, note=lambda text: _note(console, text))
    console.print(results_table(result))
    if not result.is_complete:
        sys.exit(INTERRUPTED)


def results_table(result: PipelineResult) -> Table:
    """One row a stage: what was done, how long it took in all, its key result, where its output lies."""
    table = Table(title=Text(f"Pipeline {printable(str(result.folder))}"))
    for heading in ("stage", "recipe", "state", "time", "result", "output"):
        table.add_column(heading, justify="right" if heading == "time" else "left", overflow="fold")
    for stage in result.stages:
        time = duration_text(stage.seconds) if stage.seconds else "-"
        output = stage.output.relative_to(result.folder) if stage.output.exists() else "-"
        table.add_row(
            stage.name, stage.recipe, stage.action, time, Text(printable(stage.outcome)), Text(str(output))
        )
    return table


def _print_plan(file: PipelineFile, console: Console) -> None:
    words = {"skip": "done", "resume": "goes on", "run": "runs", "depends": "runs", "taken": "taken as it is"}
    table = Table(title=Text(f"Plan of {printable(str(file.config.output))}: nothing is run"))
    for heading in ("stage", "recipe", "state", "why"):
        table.add_column(heading, overflow="fold")
    for stage in plan(file.config, text=file.text):
        table.add_row(stage.name, stage.recipe, words[stage.action], Text(printable(stage.reason)))
    console.print(table)


def _note(console: Console, text: str) -> None:
    console.print(
        printable(text, keep_newlines=True), style="bold", markup=False, highlight=False, soft_wrap=True
    )
