from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from posttrain.runs.live_view import LiveView
from posttrain.runs.metric_names import METRICS, duration_text, number_text, share_text
from posttrain.runs.spark_line import spark_line

METRIC_VALUES = {
    "reward_mean": 0.412,
    "reference_kl": 0.0123,
    "entropy": 1.32,
    "clip_fraction": 0.021,
    "response_length_mean": 12.34,
    "response_length_max": 64,
    "cut_share": 0.042,
    "zero_variance_share": 0.25,
}


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def stream_of(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def run_view(*, encoding="utf-8", live=None, width=90, height=24, title="grpo · smollm2"):
    stream, clock = stream_of(encoding), Clock()
    console = Console(file=stream, force_terminal=live, width=width, height=height, color_system=None)
    with LiveView(20, title, console, live=live, clock=clock) as view:
        view.held_out(0, 0.2, 0.03)
        for step in range(1, 11):
            view.phase("generate", 45, 128)
            clock.seconds += 6
            view.step(step, {**METRIC_VALUES, "reward_mean": step / 10}, {"tokens_per_second": 931.4})
        view.held_out(10, 0.48, 0.031)
        view.note("an \x1b[2Jalarm [red]\u202e")
        clock.seconds += 6
        view.phase("generate", 45, 128)
    return stream.buffer.getvalue().decode(encoding)


def test_a_pipe_gets_one_plain_line_a_step():
    lines = run_view().splitlines()
    assert lines[0] == "grpo · smollm2: 20 steps"
    assert lines[1] == "held-out after step 0: 0.200 +- 0.030"
    assert lines[11] == (
        "step 10/20 | reward 1.000 | kl 0.012 | entropy 1.320 | clip 2.1% | length 12.3 (max 64, cut 4.2%) | "
        "931 tokens/s | held-out 0.200 | 1m 00s left"
    )
    assert lines[13] == "an \\x1b[2Jalarm [red]\\u202e"
    assert len(lines) == 14
    assert "\x1b" not in "".join(lines)


def last_panel(output):
    frames = re.split(r"\x1b\[2K(?:\x1b\[1A\x1b\[2K)*", output)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frames[-1])


def test_a_terminal_gets_a_panel_in_place():
    output = run_view(live=True)
    panel = last_panel(output)
    for text in (
        "grpo · smollm2",
        "step 10/20",
        "▁▂▃▃▄▅▆▆▇█",
        "held-out 0.480 +- 0.031 at step 10",
        "kl 0.012",
    ):
        assert text in panel
    for text in (
        "entropy 1.320",
        "clip 2.1%",
        "length 12.3 (max 64, cut 4.2%)",
        "931 tokens/s",
        "1m 00s left",
    ):
        assert text in panel
    assert "generate 45/128" in output
    assert "an \\x1b[2Jalarm [red]\\u202e" in output
    assert output.endswith("\x1b[?25h")  # the cursor is back


def test_ascii_terminals_get_ascii():
    output = run_view(live=True, encoding="ascii")
    assert "_.--:=++*#" in last_panel(output)
    assert "step 10/20" in run_view(encoding="ascii")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (20, 4), (45, 30), (46, 9), (300, 5)])
def test_no_terminal_is_too_small(width, height):
    panel = last_panel(run_view(live=True, width=width, height=height))
    assert max(len(line) for line in panel.splitlines()) <= max(width, 1)
    assert len(panel.strip().splitlines()) <= max(1, height)


def test_a_forced_colour_pipe_is_still_a_pipe(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = stream_of("utf-8")
    with LiveView(1, "x", Console(file=stream)) as view:
        view.step(1, METRIC_VALUES, {})
    assert b"\x1b" not in stream.buffer.getvalue()


class Gone(io.StringIO):
    """A terminal that goes away after some writes."""

    def __init__(self, writes):
        super().__init__()
        self.writes_left = writes

    def write(self, text):
        self.writes_left -= 1
        if self.writes_left < 0:
            raise BrokenPipeError("gone")
        return super().write(text)


@pytest.mark.parametrize("writes", range(0, 12, 2))
@pytest.mark.parametrize("live", [True, False])
def test_a_terminal_that_goes_away_does_not_stop_the_run(writes, live):
    before = sys.stdout
    console = Console(file=Gone(writes), force_terminal=True, width=80, height=24)
    with LiveView(3, "x", console, live=live) as view:
        for step in (1, 2, 3):
            view.phase("score", 1, 2)
            view.step(step, METRIC_VALUES, {})
            view.note("n")
    assert sys.stdout is before
    assert "on_broken_pipe" not in vars(console)


def test_errors_of_the_run_itself_pass_through():
    with pytest.raises(KeyError), LiveView(1, "x", Console(file=io.StringIO())):
        raise KeyError("training")


def test_odd_numbers_are_shown_and_never_raise():
    stream = stream_of("utf-8")
    with LiveView(0, "", Console(file=stream)) as view:
        view.step(1, {name: float("nan") for name in METRICS}, {"step_seconds": float("nan")})
        odd = {"reward_mean": None, "response_length_mean": "x", "cut_share": float("inf")}
        view.step(2, odd, {"tokens_per_second": "fast", "step_seconds": None})
        view.phase("x", 5, 0)
    assert b"reward nan" in stream.buffer.getvalue()


def test_time_left_counts_recent_steps_and_leaves_evaluation_out():
    stream, clock = stream_of("utf-8"), Clock()
    with LiveView(10, "x", Console(file=stream), clock=clock) as view:
        view.resume_at(4)
        for step in (5, 6):
            clock.seconds += 10
            view.step(step, {}, {})
            clock.seconds += 1000
            view.held_out(step, 0.5)
    assert stream.buffer.getvalue().decode().splitlines()[3] == "step 6/10 | held-out 0.500 | 40s left"


def test_spark_lines():
    assert spark_line([1, 2, 3], 10) == "▁▅█"
    assert spark_line([0, 0, 1, 1], 2) == "▁█"
    assert spark_line([5, 5], 10) == "▅▅"
    assert spark_line([float("nan"), 1, float("inf"), 2], 9, ascii_only=True) == "_#"
    assert spark_line([], 5) == spark_line([1], 0) == ""
    assert len(spark_line(list(range(1000)), 40)) == 40
    assert spark_line([1e308, -1e308], 5) == "▅▅"  # the span overflows


def test_texts_of_numbers():
    assert [number_text(x) for x in (None, 3, 1234567, 0.0, 0.00012, 12.345, 1e-9, float("nan"))] == [
        *["-", "3", "1,234,567", "0.000", "0.00012", "12.3", "1e-09", "nan"]
    ]
    assert [share_text(x) for x in (None, 0.5, 1)] == ["-", "50.0%", "100.0%"]
    assert [duration_text(x) for x in (None, 45.4, 725, 11220, 187200)] == [
        "-",
        "45s",
        "12m 05s",
        "3h 07m",
        "2d 04h",
    ]
