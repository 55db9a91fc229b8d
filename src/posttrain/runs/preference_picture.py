"""What a reward model does on held-out comparisons, as a picture: calibration, margins, score against length."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from posttrain.evaluation.preference_quality import ScoredRanking, measure_preferences
from posttrain.runs.durable_file import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _RED, _GREY = "#2456c7", "#c2410c", "#8a8a86"


def draw_preferences(rankings: Sequence[ScoredRanking], path: Path | str, *, title: str = "") -> None:
    """`path` is a PNG: how often the favourite is right against what was predicted, by how much the better response
    is ahead, and each response's score against its length. DataError when no ranking orders a pair."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = measure_preferences(rankings)
    figure = Figure(figsize=(13, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    calibration, margins, lengths = figure.subplots(1, 3)
    low, high = measured["accuracy_low"], measured["accuracy_high"]
    # parse_math: a title with dollar signs is a title, not a formula.
    figure.suptitle(
        f"{title}: accuracy {measured['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {measured['num_pairs']} "
        "held-out pairs",
        x=0.01,
        ha="left",
        fontweight="bold",
        parse_math=False,
    )
    _draw_calibration(calibration, measured["calibration_bins"], measured["calibration_error"])
    _draw_margins(margins, measured["margin_edges"], measured["margin_counts"])
    _draw_lengths(lengths, rankings, measured["length_pearson"], measured["length_spearman"])
    for axes in (calibration, margins, lengths):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e5e5e0", linewidth=0.8)
        axes.set_axisbelow(True)
    image = BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    replace_file(Path(path), image.getvalue())


def _draw_calibration(axes: Axes, bins: Sequence[Sequence[float]], error: float) -> None:
    most = max(count for count, _, _ in bins)
    axes.plot([0.5, 1], [0.5, 1], color=_GREY, linewidth=1, linestyle="--", label="calibrated")
    axes.plot([b[1] for b in bins], [b[2] for b in bins], color=_BLUE, linewidth=1.5, label="observed")
    sizes = [15 + 200 * count / most for count, _, _ in bins]
    axes.scatter([b[1] for b in bins], [b[2] for b in bins], s=sizes, color=_BLUE, alpha=0.7, clip_on=False)
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(min(0.4, *(b[2] - 0.05 for b in bins)), 1.05)
    axes.set_xlabel("predicted probability of the favourite")
    axes.set_ylabel("share where people agree (area: pairs)")
    axes.set_title(f"calibration, ECE {error:.3f}", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")


def _draw_margins(axes: Axes, edges: Sequence[float], counts: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    colours = [_RED if middle < 0 else _BLUE for middle in middles]
    axes.bar(middles, counts, width=0.92 * (edges[1] - edges[0]), color=colours)
    axes.axvline(0, color=_GREY, linewidth=1)
    axes.set_xlabel("score of the better response - score of the worse one")
    axes.set_ylabel("pairs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("margins: red in the wrong order", loc="left", fontsize=10)


def _draw_lengths(
    axes: Axes, rankings: Sequence[ScoredRanking], pearson: float | None, spearman: float | None
) -> None:
    lengths = [length for ranking in rankings for length in ranking.lengths]
    scores = [score for ranking in rankings for score in ranking.scores]
    axes.scatter(lengths, scores, s=9, color=_BLUE, alpha=0.45, linewidths=0)
    axes.set_xlabel("response length (tokens)")
    axes.set_ylabel("score")
    shown = ", ".join(
        f"{name} {value:.2f}"
        for name, value in (("Pearson", pearson), ("Spearman", spearman))
        if value is not None
    )
    axes.set_title(f"correlation with length: {shown or 'none'}", loc="left", fontsize=10)
