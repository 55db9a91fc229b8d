"""Held-out scores of several runs in one picture: against steps, and against seconds."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from posttrain.runs.durable_file import replace_file
from posttrain.runs.run_numbers import RunNumbers

COLOURS = ("#2456c7", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490")


def plot_comparison(runs: Sequence[RunNumbers], path: Path) -> None:
    """`path` is a PNG with two panels; bars are 95 % intervals. A run with nothing held out is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    by_step, by_seconds = figure.subplots(1, 2, sharey=True)
    for number, run in enumerate(runs):
        if not run.held_out:
            continue
        scores = [point.score for point in run.held_out]
        errors = [1.96 * (point.standard_error or 0.0) for point in run.held_out]
        for axes, places in (
            (by_step, [float(point.step) for point in run.held_out]),
            (by_seconds, [point.seconds for point in run.held_out]),
        ):
            axes.errorbar(
                places, scores, yerr=errors, color=COLOURS[number % len(COLOURS)], marker="o", linewidth=2, capsize=3,
                label=f"{run.name} ({run.algorithm})",
            )  # fmt: skip
    by_step.set_xlabel("steps")
    by_step.set_ylabel("held-out score, 95 % interval")
    by_seconds.set_xlabel("seconds of steps, measuring not counted")
    for axes in (by_step, by_seconds):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e5e5e0", linewidth=0.8)
        axes.set_axisbelow(True)
    if any(run.held_out for run in runs):
        by_step.legend(frameon=False, loc="best")
    image = BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    replace_file(path, image.getvalue())
