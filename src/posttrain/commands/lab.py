"""`posttrain lab advantages`: how wrong each advantage estimator is, as tables, two pictures and a JSON file."""

from __future__ import annotations

import json

from rich.console import Console

from posttrain.commands.output_file import check_output, write_output
from posttrain.config.lab import LabConfig
from posttrain.lab.advantage_lab import AdvantageLab, measure
from posttrain.lab.advantage_record import as_record
from posttrain.lab.advantage_tables import best_lambda_table, error_tables, examples_table
from posttrain.lab.dartboard_picture import draw_dartboards
from posttrain.lab.error_curves_picture import draw_error_curves
from posttrain.lab.worked_examples import worked_examples


def measure_advantages(config: LabConfig) -> None:
    """Measures, prints the tables, and writes three files into `config.output`."""
    numbers, boards, curves = (
        config.output / name
        for name in ("advantages.json", "advantages-dartboard.png", "advantages-curves.png")
    )
    for path in (numbers, boards, curves):
        check_output(path)
    console = Console()
    with console.status("listing all responses, measuring every estimator ..."):
        lab = measure(config)
    examples = worked_examples()
    console.print(_introduction(lab), highlight=False, soft_wrap=True)
    for table in (*error_tables(lab), best_lambda_table(lab), examples_table(examples)):
        console.print(table)
        console.print()
    console.print(_sample_line(lab), highlight=False, soft_wrap=True)
    write_output(boards, draw_dartboards(lab))
    write_output(curves, draw_error_curves(lab))
    write_output(numbers, json.dumps(as_record(lab, examples), indent=1) + "\n")
    for path in (boards, curves, numbers):
        console.print(f"{path}", highlight=False, markup=False, soft_wrap=True)


def _introduction(lab: AdvantageLab) -> str:
    return (
        f'Answers to "The weather today is" in the words {", ".join(lab.task.words)}: {len(lab.everything):,} '
        f"responses of at most {lab.task.max_tokens} tokens, {lab.exact.visits.sum().item():.1f} on average,\n"
        f"rewarded with 0 to 10 points, {lab.exact.values[0].item():.2f} on average. All of them are listed, so "
        "bias and variance are exact, in squared points.\n"
        '"token bias²" is the part of it that differs between the tokens of a state: only this part moves the '
        "policy gradient.\n"
    )


def _sample_line(lab: AdvantageLab) -> str:
    deviations = [cell.deviation for cell in lab.cells.values()]
    within = sum(deviation <= 2 for deviation in deviations)
    return (
        f"Checked by {lab.config.num_trajectories:,} sampled responses each: {within} of {len(deviations)} mean "
        f"squared errors lie within 2 standard errors of the exact ones, the farthest {max(deviations):.1f} away."
    )
