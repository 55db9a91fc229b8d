"""The measurement as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from posttrain.lab.advantage_lab import AdvantageLab
from posttrain.lab.critics import Critic
from posttrain.lab.worked_examples import WorkedExample

if TYPE_CHECKING:
    from rich.table import Table


def error_tables(lab: AdvantageLab) -> Iterator[Table]:
    """One table for each critic: the errors of each lambda over the whole response, then the MSE of each K."""
    for critic in lab.critics:
        yield _error_table(lab, critic)


def _error_table(lab: AdvantageLab, critic: Critic) -> Table:
    from rich.table import Table

    horizons = [k for k in reversed(lab.config.horizons) if k < lab.task.max_tokens]
    draws = f", {len(critic.values)} draws" if len(critic.values) > 1 else ""
    title = f"{critic.name} critic: {critic.meaning} (RMS error {critic.error(lab.exact):.2f}{draws})"
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("λ", "bias²", "token bias²", "variance", "MSE", *(f"MSE K {k}" for k in horizons)):
        table.add_column(heading, justify="right", no_wrap=True)
    least = min(lab.cell(critic.name, a, k).errors.mse for a in lab.config.lambdas for k in (None, *horizons))

    def shown(mse: float) -> str:
        return f"[bold]{mse:.3f}[/bold]" if mse <= least + 1e-12 else f"{mse:.3f}"

    for value in lab.config.lambdas:
        errors = lab.cell(critic.name, value).errors
        plain = (errors.bias_squared, errors.token_bias_squared, errors.variance)
        of_horizons = (lab.cell(critic.name, value, k).errors.mse for k in horizons)
        name = {0.0: "0 TD", 1.0: "1 MC"}.get(value, f"{value:g}")
        table.add_row(name, *(f"{x:.3f}" for x in plain), *map(shown, (errors.mse, *of_horizons)))
    return table


def best_lambda_table(lab: AdvantageLab) -> Table:
    """Which lambda leaves the least error when so many estimates are averaged, and how much it leaves."""
    from rich.table import Table

    table = Table(title="best λ for a mean of n estimates and what is left: token bias² + variance / n")
    table.title_justify, table.title_style = "left", "bold"
    table.add_column("critic", no_wrap=True)
    for count in lab.config.averaged_over:
        table.add_column(f"n = {count}", justify="right", no_wrap=True)
    for critic in lab.critics:
        best = [(lab.best_lambda(critic.name, count), count) for count in lab.config.averaged_over]
        table.add_row(
            critic.name,
            *(
                f"{value:g}\n{lab.cell(critic.name, value).errors.after_averaging(count):.3f}"
                for value, count in best
            ),
        )
    return table


def examples_table(examples: list[WorkedExample]) -> Table:
    """The note's numbers beside ours."""
    from rich.table import Table

    table = Table(title="the note's worked examples", title_justify="left", title_style="bold")
    table.add_column("example", no_wrap=True)
    for heading in ("note", "here", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for example in examples:
        difference = example.difference
        small = difference is not None and abs(difference) < 5e-8
        table.add_row(
            example.name,
            "" if example.note is None else f"{example.note:.{example.decimals}f}",
            f"{example.ours:.5f}".rstrip("0").rstrip("."),
            "" if difference is None else "0" if small else f"{difference:+.5f}",
            example.remark or ("" if small else "the same, rounded"),
            style=None if example.agrees else "bold",
        )
    return table
