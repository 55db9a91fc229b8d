"""The live view's panel: `Progress` in, something rich can draw out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posttrain.runs.live_view import Progress, held_out_text, length_text, main_metric, measured_text
from posttrain.runs.metric_names import duration_text, number_text, share_text
from posttrain.runs.spark_line import spark_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_PANEL_ROWS = 8
_PANEL_COLUMNS = 46


def draw_panel(progress: Progress, width: int, height: int, *, ascii_only: bool) -> RenderableType:
    """The panel, or a single line when the terminal is smaller than the panel; never wider than `width`."""
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    if width < _PANEL_COLUMNS or height < _PANEL_ROWS + 1:
        return _cut(_pairs(progress, ascii_only, width)[0], width)
    inside = min(width, 100) - 4
    lines = [_cut(line, inside) for line in _pairs(progress, ascii_only, inside)]
    lines.append(_bar(progress, inside, ascii_only))
    return Panel(
        Group(*lines),
        title=Text(_plain(progress.title, ascii_only), style="bold"),
        title_align="left",
        subtitle=Text(_clock_text(progress)),
        subtitle_align="right",
        box=box.ASCII if ascii_only else box.ROUNDED,
        width=min(width, 100),
        border_style="dim",
    )


def _pairs(progress: Progress, ascii_only: bool, width: int) -> list[Text]:
    metrics = progress.metrics
    name = main_metric(metrics) if metrics else "reward_mean"
    if not metrics and progress.measured:
        name = "loss"
    first = _line(
        ("step", f"{progress.step}/{progress.total_steps}"),
        ("loss" if name == "loss" else "reward", number_text(metrics.get(name))),
    )
    spark = spark_line(
        list(progress.curve), max(0, min(40, width - len(first.plain) - 2)), ascii_only=ascii_only
    )
    first.append(f"  {spark}", style="green")
    return [first, *(_of_loss(progress) if name == "loss" else _of_reward(progress))]


def _of_reward(progress: Progress) -> list[Text]:
    metrics = progress.metrics
    held_out = "-"
    if progress.held_out:
        step, accuracy, error = progress.held_out[-1]
        held_out = f"{held_out_text(accuracy, error)} at step {step}"
        first_step, first, _ = progress.held_out[0]
        if first_step != step:
            held_out += f", {number_text(first)} at step {first_step}"
    return [
        _line(("held-out", held_out)),
        _line(
            ("kl", number_text(metrics.get("reference_kl"))),
            ("entropy", number_text(metrics.get("entropy"))),
            ("clip", share_text(metrics.get("clip_fraction"))),
            ("groups without signal", share_text(metrics.get("zero_variance_share"))),
        ),
        _line(("length", length_text(metrics)), ("speed", _speed(progress))),
    ]


def _of_loss(progress: Progress) -> list[Text]:
    """A run without rewards: its held-out numbers now and at first, its gradient and its speed."""
    metrics = progress.metrics
    held_out, before = "-", "-"
    if progress.measured:
        step, numbers = progress.measured[-1]
        held_out = f"{measured_text(numbers)} at step {step}"
        first_step, numbers = progress.measured[0]
        before = f"{measured_text(numbers)} at step {first_step}" if first_step != step else "-"
    return [
        _line(("held-out", held_out)),
        _line(("at first", before)),
        _line(
            ("gradient", number_text(metrics.get("grad_norm"))),
            ("rate", "-" if metrics.get("learning_rate") is None else f"{metrics['learning_rate']:.2g}"),
            ("epoch", number_text(metrics.get("epoch"))),
            ("speed", _speed(progress)),
        ),
    ]


def _speed(progress: Progress) -> str:
    speed = progress.timings.get("tokens_per_second")
    return "-" if speed is None else f"{number_text(speed)} tokens/s"


def _line(*pairs: tuple[str, str]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True)
    for index, (label, value) in enumerate(pairs):
        text.append("   " if index else "")
        text.append(f"{label} ", style="dim")
        text.append(value, style="bold")
    return text


def _bar(progress: Progress, width: int, ascii_only: bool) -> Text:
    from rich.text import Text

    if progress.phase is None:
        name, done, total = "steps", progress.step, progress.total_steps
    else:
        name, done, total = progress.phase
    label = f"{_plain(name, ascii_only)} {done}/{total} "
    room = max(0, width - len(label))
    filled = room * min(max(done, 0), total) // total if total > 0 else 0
    on, off = ("#", ".") if ascii_only else ("━", "─")
    text = Text(label, no_wrap=True)
    text.append(on * filled, style="cyan")
    text.append(off * (room - filled), style="dim")
    return _cut(text, width)


def _clock_text(progress: Progress) -> str:
    left = progress.seconds_left
    gone = f"{duration_text(progress.elapsed_seconds)} gone"
    return gone if left is None else f"{gone}, {duration_text(left)} left"


def _plain(text: str, ascii_only: bool) -> str:
    return text.encode("ascii", "replace").decode("ascii") if ascii_only else text


def _cut(text: Text, width: int) -> Text:
    text.truncate(max(1, width), overflow="crop")
    return text
