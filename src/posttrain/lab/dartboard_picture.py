"""The dartboards as a picture: a row for each critic, from low to high variance from left to right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from posttrain.lab.advantage_lab import AdvantageLab
from posttrain.lab.dartboard import BOARD_WORDS, Dartboard
from posttrain.lab.estimator_names import estimator_name
from posttrain.lab.png import figure_as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DART = "#2456c7"
_CENTRE = "#c2410c"
_RINGS = ("#f3efe6", "#ffffff")
_NOTE = "#6b6b66"


def draw_dartboards(lab: AdvantageLab) -> bytes:
    """A PNG of all boards, one row for each critic."""
    from matplotlib.figure import Figure

    critics = list(dict.fromkeys(board.critic for board in lab.boards))
    columns = len(lab.boards) // len(critics)
    edge = max(1, math.ceil(max(board.errors.abs().max().item() for board in lab.boards)))
    figure = Figure(figsize=(2.9 * columns + 0.7, 3.05 * len(critics) + 1.35), dpi=100, layout="constrained")
    across, up = (lab.task.words[word] for word in BOARD_WORDS)
    count = lab.config.responses_per_dart
    figure.suptitle(
        f'A dart: the advantage of "{across}" (across) and of "{up}" (up) as the first word, estimated,\n'
        f"minus the true one, in reward points; each from {count} response{'s' * (count > 1)}.\n"
        "+ is the truth, × the exact mean of the darts. An error along the dashed line is the same for both\n"
        "words: it does not move the policy gradient.",
        fontsize=9.5, color=_NOTE,
    )  # fmt: skip
    panels = figure.subplots(len(critics), columns, sharex=True, sharey=True, squeeze=False)
    for axes, board in zip(panels.flat, lab.boards, strict=True):
        _draw_board(axes, board, edge)
    for axes, critic in zip(panels[:, 0], critics, strict=True):
        axes.set_ylabel(f"{critic} critic", fontsize=12, fontweight="bold")
    for axes, board in zip(panels[0], lab.boards, strict=False):
        axes.set_title(estimator_name(board.estimator), fontsize=12, fontweight="bold")
    return figure_as_png(figure)


def _draw_board(axes: Axes, board: Dartboard, edge: int) -> None:
    from matplotlib.patches import Circle

    for index, radius in enumerate(range(edge, 0, -math.ceil(edge / 6))):
        ring = Circle((0, 0), radius, facecolor=_RINGS[index % 2], edgecolor="#d9d4c7", linewidth=0.7)
        axes.add_patch(ring)
    axes.plot([-edge, edge], [-edge, edge], color="#a39c8b", linewidth=0.9, linestyle=(0, (4, 4)))
    # TD's darts all hit one hole, and single rewards are few: a dot grows with the number of its darts.
    places, counts = torch.unique(board.errors.round(decimals=6), dim=0, return_counts=True)
    sizes = (7.0 * counts.double() ** 0.65).tolist()
    across, up = places.T.tolist()
    axes.scatter(across, up, s=sizes, color=_DART, alpha=0.5, linewidths=0)
    axes.plot(0, 0, marker="+", markersize=14, markeredgewidth=1.4, color="black")
    axes.plot(*board.centre, marker="x", markersize=9, markeredgewidth=2.4, color=_CENTRE)
    axes.set_xlabel(f"bias {board.bias:.2f}    spread {board.spread:.2f}", fontsize=10.5, color=_CENTRE)
    axes.set_xlim(-edge * 1.02, edge * 1.02)
    axes.set_ylim(-edge * 1.02, edge * 1.02)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=8, length=0, labelcolor=_NOTE)
    axes.spines[:].set_visible(False)
