"""`posttrain compare`: runs from one start with one reward, one after another, and then side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from posttrain.commands.run_ending import INTERRUPTED
from posttrain.config.compare import CompareConfig, PlannedRun, plan_runs, shared_settings
from posttrain.errors import ConfigError
from posttrain.runs.comparison_picture import plot_comparison
from posttrain.runs.comparison_table import comparison_rows, what_the_note_says
from posttrain.runs.durable_file import replace_file
from posttrain.runs.resume import compare_configs
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_numbers import RunNumbers, run_numbers


def compare_runs(config: CompareConfig) -> None:
    """Does the runs that are not done yet, and shows all of them; compare.json and compare.png hold the same.

    ConfigError when the runs differ in more than their algorithm and that was not allowed. Exits with the status of
    the first run that did not get to its end: the same command goes on there.
    """
    runs, console = plan_runs(config), Console()
    differences = _differences(runs)
    if differences and not config.allow_differences:
        listed = "\n".join(f"  {line}" for line in differences)
        raise ConfigError(
            f"these runs differ in more than their algorithm, so their numbers would not be comparable:\n{listed}\n"
            "Make them equal, or add --allow-differences."
        )
    for run in runs:
        console.print(f"\n{run.name}: posttrain {run.command} {run.file}", highlight=False, markup=False)
        status = _in_own_process(run)
        if status != 0:
            console.print(
                f"{run.name} did not get to its end. The same command goes on with it.", highlight=False
            )
            sys.exit(status if status > 0 else INTERRUPTED)
    numbers = [
        run_numbers(RunFolder(run.config.output), name=run.name, algorithm=run.command) for run in runs
    ]
    for line in _write(config.output, numbers, differences):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(numbers))
    if sentence := what_the_note_says(numbers):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _differences(runs: Sequence[PlannedRun]) -> list[str]:
    """Where runs differ from the first one in what should be the same, in words."""
    first, found = runs[0], []
    for run in runs[1:]:
        for item in compare_configs(shared_settings(first), shared_settings(run), frozenset()):
            saved, new = ("not set" if x is None else repr(x) for x in (item.saved, item.new))
            found.append(f"{item.key}: {saved} in {first.file}, {new} in {run.file}")
    return found


def _in_own_process(run: PlannedRun) -> int:
    """Does the run or what is left of it; peak memory is a process's, and no run inherits another's."""
    words = [sys.executable, "-m", "posttrain", run.command, str(run.file)]
    child = subprocess.Popen([*words, "--output", str(run.config.output)])
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            pass  # The terminal sent it to the run as well, which now saves its step and ends.


def _write(folder: Path, numbers: Sequence[RunNumbers], differences: Sequence[str]) -> list[str]:
    content = {
        "format": 1,
        "differences": list(differences),
        "runs": [run.to_dict() for run in numbers],
        "note": what_the_note_says(numbers),
    }
    replace_file(folder / "compare.json", json.dumps(content, indent=2).encode() + b"\n")
    plot_comparison(numbers, folder / "compare.png")
    return ["", f"numbers  {folder / 'compare.json'}", f"curves   {folder / 'compare.png'}"]


def _table(numbers: Sequence[RunNumbers]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    for run in numbers:
        table.add_column(run.name, overflow="fold")
    for label, cells in comparison_rows(numbers):
        table.add_row(label, *cells)
    return table
