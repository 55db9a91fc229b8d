from __future__ import annotations

import hashlib
import math
import random

import pytest

from posttrain.runs.health import check_health, new_alarms
from posttrain.runs.report import plot_curve, summary_lines


def healthy_run(steps=60, **changed):
    """A run that learns; `changed` replaces metrics by functions of the step."""
    noise = random.Random(0)
    rows = []
    for step in range(1, steps + 1):
        row = {
            "step": step,
            "reward_mean": 0.2 + 0.7 * step / steps + noise.gauss(0, 0.03),
            "reference_kl": 0.003 * step,
            "entropy": 1.4 - 0.8 * step / steps,
            "response_length_mean": 12.0,
            "cut_share": 0.05,
            "zero_variance_share": 0.3,
            "unscored_share": 0.0,
            "clip_fraction": 0.01,
            "rollout_mismatch": 1.004,
            "loss": noise.gauss(0, 1),
            "grad_norm": 1.0,
        }
        row.update({name: value(step) for name, value in changed.items()})
        rows.append(row)
    return rows


SICK = {
    "nonfinite": {"grad_norm": lambda step: math.nan},
    "rollout_mismatch": {"rollout_mismatch": lambda step: 1.2},
    "unscored": {"unscored_share": lambda step: 0.08},
    "kl_exploding": {"reference_kl": lambda step: math.exp(step / 20) - 1},
    "cut_by_length": {"cut_share": lambda step: min(1, step / 60)},
    "no_signal": {"zero_variance_share": lambda step: 0.95},
    "entropy_collapse": {"entropy": lambda step: 1.4 * math.exp(-step / 10)},
    "reward_flat": {"reward_mean": lambda step: 0.3 + 0.05 * math.sin(step)},
}


def test_a_healthy_run_raises_no_alarm_at_any_step():
    rows = healthy_run()
    for end in range(len(rows) + 1):
        assert check_health(rows[:end]) == [], end


@pytest.mark.parametrize("name", SICK)
def test_each_alarm_fires_alone_names_its_value_and_says_what_to_change(name):
    (alarm,) = check_health(healthy_run(**SICK[name]))
    assert alarm.name == name
    assert alarm.metric in alarm.message
    assert any(character.isdigit() for character in alarm.message) or "nan" in alarm.message
    assert any(word in alarm.action for word in ("ower", "aise", "heck", "ook", "ead", "hange"))
    assert str(alarm) == f"{alarm.message} {alarm.action}"


@pytest.mark.parametrize("name", [name for name in SICK if name != "nonfinite"])
def test_one_odd_step_or_a_missing_metric_raises_nothing(name):
    (metric, sick), *_ = SICK[name].items()
    rows = healthy_run()
    rows[-1][metric] = sick(60)
    assert check_health(rows) == []
    for row in rows:
        del row[metric]
    assert check_health(rows) == []


def test_success_is_not_a_collapse():
    rows = healthy_run(
        reward_mean=lambda step: 0.97,
        entropy=lambda step: 1.4 * math.exp(-step / 10),
        zero_variance_share=lambda step: 0.95,
    )
    assert check_health(rows, reward_maximum=1.0) == []
    assert {alarm.name for alarm in check_health(rows)} == {"no_signal", "entropy_collapse", "reward_flat"}


def test_an_alarm_is_told_once():
    told: set[str] = set()
    alarms = check_health(healthy_run(**SICK["unscored"]))
    assert new_alarms(alarms, told) == alarms
    assert new_alarms(alarms, told) == []


EVALUATIONS = [
    {"step": 0, "accuracy": 0.2, "standard_error": 0.03},
    {"step": 60, "accuracy": 0.9, "standard_error": None},
]


def test_the_curve_is_a_png_and_the_same_for_the_same_rows(tmp_path):
    digests = set()
    for name in ("a.png", "b.png"):
        plot_curve(healthy_run(), EVALUATIONS, tmp_path / name, title="$x$ <run> \u202e")
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 20_000
        digests.add(hashlib.sha256(data).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize(
    "rows", [[], [{"step": 1}], [{"step": 1, "reward_mean": math.nan, "entropy": math.inf}]]
)
def test_a_curve_of_nearly_nothing_is_drawn(tmp_path, rows):
    plot_curve(rows, [], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_the_summary_says_what_came_out():
    lines = summary_lines(healthy_run(), EVALUATIONS, [{"step": 1, "step_seconds": 90.0}], reward_maximum=1.0)
    assert lines[0] == "60 steps in 1m 30s"
    assert lines[2] == "held-out accuracy 0.200 +- 0.030 (step 0) -> 0.900 (step 60)"
    assert len(lines) == 3
    assert summary_lines(healthy_run(**SICK["unscored"]), [])[-1].startswith(
        "look at: unscored_share is 8.0%"
    )
    assert summary_lines([], []) == []
    assert summary_lines([{"step": 1}], EVALUATIONS[:1])[-1] == "held-out accuracy 0.200 +- 0.030 (step 0)"
