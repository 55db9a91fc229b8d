"""A run at a glance: its curve as a picture, and the lines that it ends with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posttrain.runs.durable_file import replace_file
from posttrain.runs.health import check_health
from posttrain.runs.metric_names import count_text, duration_text, finite, number_text, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Rows = Sequence[Mapping[str, Any]]

_EACH_STEP_COLOUR = "#9db4e8"
_TREND_COLOUR = "#2456c7"
_HELD_OUT_COLOUR = "#c2410c"
_ACCURACY_COLOUR = "#15803d"
_SMALL = (
    ("reference_kl", "KL from reference", "nats per token"),
    ("entropy", "entropy", "nats"),
    ("response_length_mean", "response length", "tokens"),
    ("cut_share", "cut by length", "share"),
    ("zero_variance_share", "groups without signal", "share"),
    ("clip_fraction", "clipped", "share of tokens"),
    ("explained_variance", "explained by the critic", "share"),
    ("grad_norm", "gradient norm", ""),
)


_SMALL_OF_LOSS = (
    ("accuracy", "training accuracy", "share"),
    ("grad_norm", "gradient norm", ""),
    ("learning_rate", "learning rate", ""),
    ("epoch", "passes over the data", ""),
)


def plot_curve(
    metrics_rows: _Rows,
    evaluations: _Rows,
    path: Path | str,
    *,
    title: str = "",
    held_out_name: str = "held-out",
) -> None:
    """`path` is a PNG: reward and held-out accuracy against step, and small plots of what else was logged.

    Where nothing was rewarded it is the loss, with held-out loss and accuracy.

    `metrics_rows` and `evaluations` are rows of metrics.jsonl and evaluations.jsonl; either may be empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rewards = _points(metrics_rows, "reward_mean")
    has_loss_only = not rewards and bool(_points(metrics_rows, "loss") or _points(evaluations, "loss"))
    entries = _SMALL_OF_LOSS if has_loss_only else _SMALL
    small = [entry for entry in entries if len(_points(metrics_rows, entry[0])) > 1]
    small_rows = math.ceil(len(small) / 4)
    figure = Figure(figsize=(11, 5 + 2.1 * small_rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + small_rows, 4, height_ratios=[2.4] + [1.0] * small_rows)
    main = figure.add_subplot(grid[0, :])
    if has_loss_only:
        _draw_losses(main, metrics_rows, evaluations, held_out_name)
    else:
        _draw_main(main, metrics_rows, evaluations, held_out_name)
    # parse_math: a title with dollar signs is a title, not a formula.
    main.set_title(title, loc="left", fontsize=13, fontweight="bold", parse_math=False)
    for index, (name, label, unit) in enumerate(small):
        axes = figure.add_subplot(grid[1 + index // 4, index % 4])
        _draw_small(axes, _points(metrics_rows, name), f"{label} ({unit})" if unit else label)
    image = BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    replace_file(Path(path), image.getvalue())


def _points(rows: _Rows, name: str) -> list[tuple[int, float]]:
    found = ((int(row["step"]), finite(row, name)) for row in rows)
    return [(step, value) for step, value in found if value is not None]


def _draw_main(axes: Axes, metrics_rows: _Rows, evaluations: _Rows, held_out_name: str) -> None:
    rewards = _points(metrics_rows, "reward_mean")
    if rewards:
        _draw_trained(axes, rewards, "training reward", windows=15)
    accuracies = [row for row in evaluations if finite(row, "accuracy") is not None]
    if accuracies:
        _draw_held_out(axes, accuracies, held_out_name)
    if rewards or accuracies:
        axes.legend(frameon=False, loc="best")
    else:
        axes.text(0.5, 0.5, "nothing was logged yet", ha="center", va="center", transform=axes.transAxes)
    axes.set_xlabel("step")
    axes.set_ylabel("score")
    axes.margins(x=0.02, y=0.12)
    _plain_frame(axes)


def _draw_losses(axes: Axes, metrics_rows: _Rows, evaluations: _Rows, held_out_name: str) -> None:
    """Training and held-out loss on the left, held-out accuracy, if there is one, on the right."""
    losses, held_out = _points(metrics_rows, "loss"), _points(evaluations, "loss")
    if losses:
        _draw_trained(axes, losses, "training loss", windows=40)
    if held_out:
        _draw_marked(axes, held_out, f"{held_out_name} loss", _HELD_OUT_COLOUR)
    lines, labels = axes.get_legend_handles_labels()
    if accuracies := _points(evaluations, "accuracy"):
        right = axes.twinx()
        _draw_marked(right, accuracies, f"{held_out_name} accuracy", _ACCURACY_COLOUR)
        right.set_ylabel("accuracy")
        right.set_ylim(0, 1.05)
        right.spines[["top"]].set_visible(False)
        more_lines, more_labels = right.get_legend_handles_labels()
        lines, labels = lines + more_lines, labels + more_labels
    axes.legend(lines, labels, frameon=False, loc="upper right" if not accuracies else "best")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats)")
    axes.margins(x=0.02, y=0.12)
    _plain_frame(axes)


def _draw_marked(axes: Axes, points: Sequence[tuple[int, float]], label: str, colour: str) -> None:
    """A line with its first and last values written beside them."""
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=colour, marker="o", markersize=5, linewidth=2, label=label)
    for place in {0, len(values) - 1}:
        axes.annotate(
            f"{values[place]:.3f}", points[place], xytext=(0, 7), textcoords="offset points", ha="center",
            color=colour, fontweight="bold",
        )  # fmt: skip


def _draw_trained(axes: Axes, points: Sequence[tuple[int, float]], label: str, *, windows: int) -> None:
    """Each step, and a running mean over one of so many windows where there are many steps."""
    steps, values = zip(*points, strict=True)
    window = len(values) // windows
    if window < 2:
        axes.plot(steps, values, color=_TREND_COLOUR, linewidth=1.8, marker=".", label=label)
        return
    axes.plot(steps, values, color=_EACH_STEP_COLOUR, linewidth=1, label=f"{label}, each step")
    mean = f"{label}, mean of {window} steps"
    axes.plot(steps, _trend(values, window), color=_TREND_COLOUR, linewidth=2.2, label=mean)


def _draw_held_out(axes: Axes, accuracies: _Rows, name: str) -> None:
    steps = [row["step"] for row in accuracies]
    values = [row["accuracy"] for row in accuracies]
    errors = [1.96 * (finite(row, "standard_error") or 0.0) for row in accuracies]
    axes.errorbar(
        steps, values, yerr=errors, color=_HELD_OUT_COLOUR, marker="o", markersize=6, linewidth=2, capsize=3,
        label=f"{name} accuracy, 95 % interval",
    )  # fmt: skip
    for place in {0, len(values) - 1}:
        axes.annotate(
            f"{values[place]:.3f}", (steps[place], values[place] + errors[place]), xytext=(0, 6),
            textcoords="offset points", ha="center", color=_HELD_OUT_COLOUR, fontweight="bold",
        )  # fmt: skip


def _draw_small(axes: Axes, points: Sequence[tuple[int, float]], label: str) -> None:
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=_TREND_COLOUR, linewidth=1.2)
    axes.set_title(label, fontsize=9, loc="left")
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    low, high = min(values), max(values)
    if low >= 0 and low < 0.5 * high:
        axes.set_ylim(bottom=0)  # a fall to 0 should look like one
    if low == high:
        axes.set_ylim(low - 0.5 * (abs(low) or 1), low + 0.5 * (abs(low) or 1))
    _plain_frame(axes)


def _plain_frame(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e0", linewidth=0.8)
    axes.set_axisbelow(True)


def _trend(values: Sequence[float], window: int) -> list[float]:
    """Mean of up to `window` values that end at each one."""
    starts = (max(0, end - window) for end in range(1, len(values) + 1))
    return [math.fsum(values[a:b]) / (b - a) for b, a in enumerate(starts, start=1)]


def summary_lines(
    metrics_rows: _Rows, evaluations: _Rows, timings_rows: _Rows = (), *, reward_maximum: float | None = None
) -> list[str]:
    """What a run ends with: steps and time, held-out score from first to last, last numbers, alarms."""
    lines = []
    seconds = sum(value for _, value in _points(timings_rows, "step_seconds"))
    if metrics_rows:
        last = metrics_rows[-1]
        took = f" in {duration_text(seconds)}" if seconds else ""
        lines.append(f"{count_text(last['step'], 'step')}{took}")
        lines.append(_first_and_last(metrics_rows[0], last))
    accuracies = [row for row in evaluations if finite(row, "accuracy") is not None]
    if accuracies:
        shown = " -> ".join(_accuracy_text(row) for row in (accuracies[0], accuracies[-1]))
        lines.append(f"held-out accuracy {shown if len(accuracies) > 1 else _accuracy_text(accuracies[0])}")
    if held_out := _points(evaluations, "loss"):
        shown = " -> ".join(
            f"{value:.3f} (step {step})" for step, value in dict.fromkeys([held_out[0], held_out[-1]])
        )
        lines.append(f"held-out loss {shown}")
    alarms = check_health(metrics_rows, reward_maximum=reward_maximum, evaluations=evaluations)
    lines += [f"look at: {alarm}" for alarm in alarms]
    return lines


def _first_and_last(first: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    if "reward_mean" not in last:
        return f"loss {number_text(first.get('loss'))} -> {number_text(last.get('loss'))}"
    return (
        f"reward {number_text(first.get('reward_mean'))} -> {number_text(last.get('reward_mean'))}, "
        f"length {number_text(first.get('response_length_mean'))} -> "
        f"{number_text(last.get('response_length_mean'))} tokens, "
        f"cut {share_text(last.get('cut_share'))}, KL from reference {number_text(last.get('reference_kl'))}"
    )


def _accuracy_text(row: Mapping[str, Any]) -> str:
    error = finite(row, "standard_error")
    shown = "" if error is None else f" +- {error:.3f}"
    return f"{row['accuracy']:.3f}{shown} (step {row['step']})"
