"""How a run is doing, while it runs: a panel in place on a terminal, one plain line a step anywhere else.

The view is a spectator: whatever goes wrong with the terminal (closed, tiny, no Unicode), the run goes on.
There is no thread: the panel is repainted when the run reports something, a few times a second at most.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from posttrain.evaluation.printable import printable
from posttrain.runs.metric_names import count_text, duration_text, finite, number_text, share_text
from posttrain.runs.spark_line import can_show_blocks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_SECONDS_BETWEEN_REPAINTS = 0.15
_STEPS_FOR_TIME_LEFT = 20
_REMEMBERED_VALUES = 2000
_PLAIN_LINES = 200
"""Steps that get a line each where nothing is drawn in place; of a longer run about a hundred do."""


@dataclass
class Progress:
    """What the view shows; filled by `LiveView`, drawn by `live_panel.draw_panel`."""

    title: str
    total_steps: int
    step: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    curve: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_VALUES))
    step_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS_FOR_TIME_LEFT))
    held_out: list[tuple[int, float, float | None]] = field(default_factory=list)
    measured: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    phase: tuple[str, int, int] | None = None
    elapsed_seconds: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Steps to come at the median pace of recent ones; None before the first step."""
        if not self.step_seconds:
            return None
        return median(self.step_seconds) * max(0, self.total_steps - self.step)


class LiveView:
    """Shows a run's progress; a context manager.

    Example:
        with LiveView(total_steps=100, title="grpo smollm2") as view:
            view.phase("generate", 45, 128)
            view.step(1, metrics, timings)      # names: runs.metric_names
            view.held_out(10, 0.48, standard_error=0.03)
            view.note("resumed after step 5")

    `console`: where to draw (default: standard output). `live`: draw in place; default: where that works.
    """

    def __init__(
        self,
        total_steps: int,
        title: str,
        console: Console | None = None,
        *,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        from rich.console import Console

        self.progress = Progress(title=printable(title), total_steps=total_steps)
        self._console = console if console is not None else Console(highlight=False)
        self._clock = clock
        self._is_live = _can_draw_in_place(self._console) if live is None else live
        self._ascii_only = not can_show_blocks(getattr(self._console.file, "encoding", None) or "utf-8")
        self._live: Live | None = None
        self._started_at = self._last_step_at = clock()
        self._painted_at = float("-inf")

    def __enter__(self) -> Self:
        self._started_at = self._last_step_at = self._clock()
        if self._is_live:
            self._safely(self._start_panel)
        else:
            self._print(f"{self.progress.title}: {count_text(self.progress.total_steps, 'step')}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self.progress.phase = None
            self._repaint(force=True)
            live, self._live = self._live, None
            self._safely(live.stop)
        vars(self._console).pop("on_broken_pipe", None)

    def resume_at(self, step: int) -> None:
        """The run goes on after `step`: shown at once, so that the time left counts only what is to come."""
        self.progress.step = step
        self._repaint(force=True)

    def phase(self, name: str, done: int, total: int) -> None:
        """What the run is doing inside the step, for example ("generate", 45, 128); cheap to call often."""
        self.progress.phase = (printable(name), done, total)
        self._repaint()

    def step(self, step: int, metrics: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """`step` updates are done, and these are the last one's numbers, named as in `runs.metric_names`."""
        now = self._clock()
        progress = self.progress
        progress.step, progress.metrics, progress.timings = step, dict(metrics), dict(timings)
        progress.phase = None
        progress.step_seconds.append(finite(timings, "step_seconds") or now - self._last_step_at)
        self._last_step_at = now
        value = finite(metrics, main_metric(metrics))
        if value is not None:
            progress.curve.append(value)
        if self._is_live:
            self._repaint(force=True)
        elif _is_worth_a_line(step, progress.total_steps):
            self._print(step_line(progress))

    def held_out(self, step: int, accuracy: float, standard_error: float | None = None) -> None:
        """The held-out score of the weights after `step` updates."""
        self.progress.held_out.append((step, accuracy, standard_error))
        self._last_step_at = self._clock()  # evaluation does not count as a step's time
        if self._is_live:
            self._repaint(force=True)
        else:
            self._print(f"held-out after step {step}: {held_out_text(accuracy, standard_error)}")

    def measured(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Held-out numbers of the weights after `step` updates that are no sampled score: one line of them."""
        self._last_step_at = self._clock()  # measuring does not count as a step's time
        self.progress.measured.append((step, dict(numbers)))
        self.note(f"held-out after step {step}: {measured_text(numbers)}")

    def note(self, text: str) -> None:
        """A sentence for the user: it stays visible above the panel, or is a line of its own."""
        safe = printable(text, keep_newlines=True)
        if self._live is None:
            self._print(safe)
            return
        from rich.text import Text

        above = Text(_encodable(safe, self._console), style="yellow")
        self._safely(lambda: self._console.print(above))
        self._repaint(force=True)

    def _start_panel(self) -> None:
        from rich.live import Live

        live = Live("", console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
        # rich would end the whole process on a broken pipe, and send standard output to nowhere.
        self._console.on_broken_pipe = _raise_again  # type: ignore[method-assign]
        self._live = live
        live.start()
        self._repaint(force=True)

    def _repaint(self, *, force: bool = False) -> None:
        now = self._clock()
        if self._live is None or (not force and now - self._painted_at < _SECONDS_BETWEEN_REPAINTS):
            return
        self._painted_at = now
        self.progress.elapsed_seconds = now - self._started_at
        self._safely(self._paint)

    def _paint(self) -> None:
        from posttrain.runs.live_panel import draw_panel

        if self._live is not None:
            width, height = self._console.size
            panel = draw_panel(self.progress, width, height, ascii_only=self._ascii_only)
            self._live.update(panel, refresh=True)

    def _print(self, line: str) -> None:
        def write() -> None:
            # Straight to the stream: rich would wrap long lines at 80 columns in a pipe.
            self._console.file.write(_encodable(line, self._console) + "\n")
            self._console.file.flush()

        self._safely(write)

    def _safely(self, draw: Callable[[], object]) -> None:
        try:
            draw()
        except Exception:
            # A closed pipe, a vanished terminal, a bug in drawing: hours of training are worth more than
            # the view of them. Drawing in place stops, lines are still tried.
            live, self._live, self._is_live = self._live, None, False
            if live is not None:
                try:
                    live.stop()
                except Exception:
                    return


def main_metric(metrics: Mapping[str, Any]) -> str:
    """The metric that says how a run goes: the reward, or the loss of a run that samples nothing."""
    return "reward_mean" if "reward_mean" in metrics else "loss"


def step_line(progress: Progress) -> str:
    """The step in one line without control characters; parts whose numbers are missing are left out."""
    metrics, timings = progress.metrics, progress.timings
    parts = [f"step {progress.step}/{progress.total_steps}"]
    shown = (("reward", "reward_mean"), ("kl", "reference_kl"), ("entropy", "entropy"))
    if main_metric(metrics) == "loss":
        shown = (("loss", "loss"), ("accuracy", "accuracy"), ("gradient", "grad_norm"))
    for label, name in shown:
        if metrics.get(name) is not None:
            parts.append(f"{label} {number_text(metrics[name])}")
    if metrics.get("clip_fraction") is not None:
        parts.append(f"clip {share_text(metrics['clip_fraction'])}")
    if metrics.get("response_length_mean") is not None:
        parts.append(f"length {length_text(metrics)}")
    if timings.get("tokens_per_second") is not None:
        parts.append(f"{number_text(timings['tokens_per_second'])} tokens/s")
    if progress.held_out:
        parts.append(f"held-out {number_text(progress.held_out[-1][1])}")
    if progress.seconds_left is not None:
        parts.append(f"{duration_text(progress.seconds_left)} left")
    return " | ".join(parts)


def length_text(metrics: Mapping[str, Any]) -> str:
    """ "12.3 (max 64, cut 4.2%)"."""
    mean = finite(metrics, "response_length_mean")
    shown = "-" if mean is None else f"{mean:.1f}"
    longest, cut = number_text(metrics.get("response_length_max")), share_text(metrics.get("cut_share"))
    return f"{shown} (max {longest}, cut {cut})"


def measured_text(numbers: Mapping[str, Any]) -> str:
    """ "accuracy 0.620 (0.551 to 0.684), loss 1.876", of NAME_low and NAME_high an interval."""
    parts = []
    for name, value in numbers.items():
        if not isinstance(value, int | float) or name.removesuffix("_low").removesuffix("_high") != name:
            continue
        low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
        interval = "" if low is None or high is None else f" ({number_text(low)} to {number_text(high)})"
        parts.append(f"{name.replace('_', ' ')} {number_text(value)}{interval}")
    return ", ".join(parts)


def held_out_text(accuracy: float, standard_error: float | None) -> str:
    """ "0.480 +- 0.030"."""
    shown = number_text(accuracy)
    return shown if standard_error is None else f"{shown} +- {number_text(standard_error)}"


def _is_worth_a_line(step: int, total_steps: int) -> bool:
    if total_steps <= _PLAIN_LINES or step in (1, total_steps):
        return True
    return step % (total_steps // (_PLAIN_LINES // 2)) == 0


def _encodable(text: str, console: Console) -> str:
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "replace").decode("ascii")


def _raise_again() -> None:
    raise


def _can_draw_in_place(console: Console) -> bool:
    # FORCE_COLOR makes rich call a pipe a terminal; colours are fine there, cursor movements are not.
    stream = console.file if console.file is not None else sys.stdout
    try:
        is_terminal = stream.isatty()
    except (ValueError, AttributeError):
        return False
    return is_terminal and console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter
