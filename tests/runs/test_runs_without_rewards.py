"""What reads a run shows the loss where nothing was rewarded: the curve, the panel, the lines, the alarms."""

from __future__ import annotations

import io
import math
import random

import pytest
from rich.console import Console

from posttrain.runs.health import check_health
from posttrain.runs.live_panel import draw_panel
from posttrain.runs.live_view import LiveView, Progress, main_metric, measured_text
from posttrain.runs.metric_names import count_text
from posttrain.runs.report import plot_curve, summary_lines

PNG = b"\x89PNG"


def loss_rows(steps=400, loss=lambda step: 4 / step**0.2, noise=0.05):
    drawn = random.Random(0)
    return [
        {
            "step": step,
            "loss": loss(step) + drawn.gauss(0, noise),
            "grad_norm": 1.0,
            "learning_rate": 1e-3,
            "epoch": 0.1 * step,
        }
        for step in range(1, steps + 1)
    ]


def held_out(*losses, every=100):
    return [
        {"step": every * place, "loss": loss, "bits_per_byte": loss / math.log(2)}
        for place, loss in enumerate(losses)
    ]


def names(rows, evaluations=()):
    return [alarm.name for alarm in check_health(rows, evaluations=evaluations)]


def test_a_falling_loss_raises_no_alarm_at_any_step():
    rows = loss_rows()
    for end in range(0, len(rows) + 1, 7):
        assert names(rows[:end], held_out(4.2, 2.0, 1.8, 1.7, 1.65)) == []


@pytest.mark.parametrize(
    "loss", [lambda step: 2 + 2 * (step > 300), lambda step: abs(4 - step / 50) + 1], ids=["jump", "climb"]
)
def test_a_rising_loss_is_told_with_both_numbers(loss):
    (alarm,) = check_health(loss_rows(loss=loss))
    assert alarm.name == "loss_rising"
    assert "learning_rate" in str(alarm)
    assert alarm.value > 3


def test_one_bad_step_or_a_noisy_loss_is_no_rise():
    rows = loss_rows()
    rows[-1]["loss"] = 50.0
    assert names(rows) == []
    assert names(loss_rows(loss=lambda step: 1.0, noise=0.4)) == []


def test_the_loss_of_a_policy_may_rise():
    rows = [
        row | {"reward_mean": 0.5 + row["step"] / 1000} for row in loss_rows(loss=lambda step: step / 100)
    ]
    assert "loss_rising" not in names(rows, held_out(1.0, 2.0, 3.0, 4.0))
    assert "overfitting" not in names(rows, held_out(1.0, 2.0, 3.0, 4.0))


def test_overfitting_is_a_held_out_loss_that_rises_while_the_training_loss_falls():
    rows = loss_rows()
    (alarm,) = check_health(rows, evaluations=held_out(4.2, 2.0, 1.6, 1.7, 1.8))
    assert alarm.name == "overfitting"
    assert "at step 200" in alarm.message
    assert "weight_decay" in alarm.action
    # One worse measurement, one that is hardly worse, and a training loss that rose too: none of them is it.
    assert names(rows, held_out(4.2, 2.0, 1.6, 1.7)) == []
    assert names(rows, held_out(4.2, 2.0, 1.6, 1.605, 1.61)) == []
    flat = loss_rows(loss=lambda step: 2 + step / 4000)
    assert names(flat, held_out(4.2, 2.0, 1.6, 1.7, 1.8)) == []


def test_a_loss_that_is_no_number_is_told_first():
    rows = loss_rows(loss=lambda step: 1 + step / 10)
    rows[-1]["loss"] = math.nan
    assert names(rows)[0] == "nonfinite"


@pytest.mark.parametrize("evaluations", [[], held_out(4.2, 2.0, 1.7)])
@pytest.mark.parametrize("steps", [0, 1, 10, 200])
def test_the_curve_is_drawn_for_any_length(tmp_path, steps, evaluations):
    plot_curve(loss_rows(steps), evaluations, tmp_path / "curve.png", title="pretrain")
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


def test_the_curve_shows_loss_and_accuracy_of_comparisons(tmp_path, monkeypatch):
    from posttrain.runs import report

    drawn = []
    monkeypatch.setattr(
        report, "_draw_marked", lambda axes, points, label, colour: drawn.append((label, points))
    )
    rows = [row | {"accuracy": 0.5} for row in loss_rows(30)]
    evaluations = [{"step": 0, "loss": 0.7, "accuracy": 0.5}, {"step": 30, "loss": 0.6, "accuracy": 0.7}]
    plot_curve(rows, evaluations, tmp_path / "curve.png")
    assert drawn == [
        ("held-out loss", [(0, 0.7), (30, 0.6)]),
        ("held-out accuracy", [(0, 0.5), (30, 0.7)]),
    ]


def test_summary_lines_name_both_losses():
    rows = loss_rows(400, noise=0.0)
    text = "\n".join(summary_lines(rows, held_out(4.2, 2.0, 1.7)))
    assert f"loss 4.000 -> {rows[-1]['loss']:.3f}" in text
    assert "held-out loss 4.200 (step 0) -> 1.700 (step 200)" in text
    assert "reward" not in text
    assert "held-out loss 4.200 (step 0)" in "\n".join(summary_lines(rows, held_out(4.2)))


def test_the_panel_shows_the_loss_and_what_was_measured():
    progress = Progress(
        "pretrain", 400, step=2, metrics=loss_rows(2)[-1], timings={"tokens_per_second": 1234.0}
    )
    progress.curve.extend([4.0, 3.5])
    progress.measured += [(0, held_out(4.2)[0]), (2, {"loss": 3.4, "bits_per_byte": 4.9})]
    console = Console(file=io.StringIO(), width=100, height=30)
    console.print(draw_panel(progress, 100, 30, ascii_only=True))
    shown = console.file.getvalue()
    for part in (
        "loss 3.4",
        "loss 3.400, bits per byte 4.900 at step 2",
        "at first",
        "at step 0",
        "1,234 tokens/s",
    ):
        assert part in shown
    assert "reward" not in shown


@pytest.mark.parametrize("width", [1, 20, 46, 80])
@pytest.mark.parametrize("height", [1, 9, 30])
def test_the_panel_fits_any_terminal(width, height):
    progress = Progress("pretrain", 400, step=2, metrics=loss_rows(2)[-1])
    progress.measured.append((0, held_out(4.2)[0]))
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(draw_panel(progress, width, height, ascii_only=False))
    assert max(map(len, console.file.getvalue().splitlines())) <= width


def test_a_step_whose_responses_were_all_unscored_is_still_one_of_rewards():
    assert main_metric({"reward_mean": None, "loss": 1.0}) == "reward_mean"
    assert main_metric({"loss": 1.0}) == "loss"


def test_long_runs_get_about_a_hundred_plain_lines():
    stream = io.StringIO()
    with LiveView(total_steps=5000, title="pretrain", console=Console(file=stream), live=False) as view:
        for row in loss_rows(5000):
            view.step(row["step"], row, {})
        view.measured(5000, {"loss": 1.5})
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("step ")]
    assert 100 <= len(lines) <= 102
    assert lines[0].startswith("step 1/5000 | loss")
    assert lines[-1].startswith("step 5000/5000")
    assert "held-out after step 5000: loss 1.500" in stream.getvalue()


def test_a_measurement_shows_an_interval_behind_its_number():
    numbers = {"accuracy": 0.62, "accuracy_low": 0.55, "accuracy_high": 0.68, "loss": 1.5, "bins": [1]}
    assert measured_text(numbers) == "accuracy 0.620 (0.550 to 0.680), loss 1.500"


def test_one_is_no_plural():
    assert [count_text(n, "step") for n in (0, 1, 1.0, 0.5, 1200)] == [
        "0 steps",
        "1 step",
        "1 step",
        "0.5 steps",
        "1,200 steps",
    ]
