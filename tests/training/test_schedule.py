import json
import math
from pathlib import Path

import pytest

from posttrain.errors import ConfigError
from posttrain.training import LearningRateSchedule, num_optimizer_steps

GOLDEN = json.loads((Path(__file__).parents[1] / "algorithms" / "golden.json").read_text())
CASES = {case["name"]: case for case in GOLDEN["cases"]}


def test_golden_steps_and_rates():
    case = CASES["lr_schedule_steps"]
    inputs, expected = case["inputs"], case["expected"]
    sequences = inputs["prompts_per_iteration"] * inputs["group_size"]
    minibatches = sequences // inputs["minibatch_sequences"]
    counts = {"minibatches_per_step": minibatches, "epochs_per_step": inputs["ppo_epochs"]}
    assert num_optimizer_steps(iterations=1, **counts) == expected["optimizer_steps_per_iteration"]
    total = num_optimizer_steps(iterations=inputs["iterations"], **counts)
    assert total == expected["total_optimizer_steps"]
    schedule = LearningRateSchedule(
        inputs["lr"], kind="linear", warmup_share=inputs["warmup_ratio"], total_steps=total
    )
    assert schedule.num_warmup_steps == expected["warmup_steps"]
    for step, rate in expected["lr_at_steps"].items():
        assert schedule.at(int(step)) == pytest.approx(rate, abs=1e-9 * 1e-6, rel=1e-9)


def test_constant_and_cosine():
    assert [LearningRateSchedule(0.5).at(step) for step in (0, 7)] == [0.5, 0.5]
    warm = LearningRateSchedule(1.0, warmup_steps=4)
    assert [warm.at(step) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    cosine = LearningRateSchedule(2.0, kind="cosine", total_steps=10, warmup_steps=2, final_share=0.1)
    assert cosine.at(2) == 2.0
    assert cosine.at(6) == pytest.approx(1.1)
    assert cosine.at(10) == pytest.approx(0.2)
    assert cosine.at(1000) == cosine.at(10)  # a run that is made longer does not rise again
    quarter = 0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2
    assert cosine.at(4) == pytest.approx(2.0 * quarter)


def test_a_share_that_is_whole_is_not_rounded_up():
    assert LearningRateSchedule(1.0, warmup_share=0.07, total_steps=100).num_warmup_steps == 7
    assert LearningRateSchedule(1.0, warmup_share=0.071, total_steps=100).num_warmup_steps == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "linear"}, "needs total_steps"),
        ({"warmup_share": 0.1}, "needs total_steps"),
        ({"warmup_steps": 3, "warmup_share": 0.1, "total_steps": 10}, "choose one"),
        ({"kind": "linear", "warmup_steps": 11, "total_steps": 10}, "longer than the run"),
        ({"kind": "step"}, "choose 'constant'"),
        ({"warmup_share": 1.5, "total_steps": 4}, "between 0 and 1"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LearningRateSchedule(1.0, **settings)


def test_a_rate_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="learning_rate"):
        LearningRateSchedule(math.nan)
