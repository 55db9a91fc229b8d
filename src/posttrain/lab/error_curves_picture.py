"""Bias, variance and mean squared error against lambda as a picture: a column for each critic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from posttrain.lab.advantage_estimates import EstimatorError
from posttrain.lab.advantage_lab import AdvantageLab
from posttrain.lab.png import figure_as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUES = ("#a9bfee", "#6f93e0", "#2456c7", "#12307a", "#081a45")
_BROWNS = ("#f3b48f", "#e58a54", "#c2410c", "#8a2c06", "#4f1802")
_NOTE = "#6b6b66"
_LEAST = "dots: the least"
_TOKEN_BIAS = "whole response,\ntoken bias² alone"
_ROWS: tuple[tuple[str, Callable[[EstimatorError], float]], ...] = (
    ("bias²", lambda errors: errors.bias_squared),
    ("variance", lambda errors: errors.variance),
    ("mean squared error", lambda errors: errors.mse),
)


def draw_error_curves(lab: AdvantageLab) -> bytes:
    """A PNG: bias², variance, MSE for each K, and what a mean of n estimates is left with, K to the end."""
    from matplotlib.figure import Figure

    columns = len(lab.critics)
    figure = Figure(figsize=(2.55 * columns + 1.3, 9.6), dpi=100, layout="constrained")
    panels = figure.subplots(len(_ROWS) + 1, columns, sharex=True, sharey="row", squeeze=False)
    for column, critic in enumerate(lab.critics):
        panels[0][column].set_title(f"{critic.name}\nRMS error {critic.error(lab.exact):.2f}", fontsize=11)
        for row, (_, read) in enumerate(_ROWS):
            _draw_horizons(panels[row][column], lab, critic.name, read)
        _draw_token_bias(panels[0][column], lab, critic.name)
        _draw_averages(panels[-1][column], lab, critic.name)
        panels[-1][column].set_xlabel("λ")
    labels = [*(label for label, _ in _ROWS), "left in a mean of n:\ntoken bias² + variance / n"]
    for row, label in enumerate(labels):
        panels[row][0].set_ylabel(label, fontsize=10)
        panels[row][0].set_ylim(bottom=0)
        panels[row][-1].legend(
            *panels[row][0].get_legend_handles_labels(), frameon=False, fontsize=8.5,
            loc="center left", bbox_to_anchor=(1.0, 0.5), title=_LEAST if row == len(_ROWS) else None,
            title_fontsize=8.5, alignment="left",
        )  # fmt: skip
    _draw_averages_scale(panels[-1][0], lab)
    return figure_as_png(figure)


def _draw_horizons(
    axes: Axes, lab: AdvantageLab, critic: str, read: Callable[[EstimatorError], float]
) -> None:
    lambdas = lab.config.lambdas
    horizons: list[int | None] = [k for k in lab.config.horizons if k < lab.task.max_tokens]
    for index, horizon in enumerate([*horizons, None]):
        values = [read(lab.cell(critic, value, horizon).errors) for value in lambdas]
        colour = _BLUES[min(index, len(_BLUES) - 1)]
        label = "whole response" if horizon is None else f"K = {horizon}"
        axes.plot(lambdas, values, color=colour, linewidth=1.8, marker=".", label=label)
    _plain_frame(axes)


def _draw_token_bias(axes: Axes, lab: AdvantageLab, critic: str) -> None:
    """The part of bias² that differs between the tokens of a state, K to the end."""
    lambdas = lab.config.lambdas
    values = [lab.cell(critic, value).errors.token_bias_squared for value in lambdas]
    axes.plot(
        lambdas,
        values,
        color=_BROWNS[2],
        linewidth=1.8,
        linestyle="--",
        label=_TOKEN_BIAS,
    )


def _draw_averages(axes: Axes, lab: AdvantageLab, critic: str) -> None:
    lambdas = lab.config.lambdas
    for index, count in enumerate(lab.config.averaged_over):
        values = [lab.cell(critic, value).errors.after_averaging(count) for value in lambdas]
        colour = _BROWNS[min(index, len(_BROWNS) - 1)]
        axes.plot(lambdas, values, color=colour, linewidth=1.6, label=f"n = {count}")
        best = lab.best_lambda(critic, count)
        axes.plot(
            best, lab.cell(critic, best).errors.after_averaging(count), "o", color=colour, clip_on=False
        )
    _plain_frame(axes)


def _draw_averages_scale(axes: Axes, lab: AdvantageLab) -> None:
    """Not the whole of n = 1, which would press the other curves flat."""
    top = max(
        *(
            lab.cell(critic.name, value).errors.token_bias_squared
            for critic in lab.critics
            for value in lab.config.lambdas
        ),
        *(
            lab.cell(critic.name, lab.best_lambda(critic.name, count)).errors.after_averaging(count)
            for critic in lab.critics
            for count in lab.config.averaged_over
        ),
    )
    if top > 0:
        axes.set_ylim(0, 1.3 * top)


def _plain_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, labelcolor=_NOTE)
