"""`kill -9` while a reward model is trained, saved or measured: the finished run is the same to the bit."""

from __future__ import annotations

import json
import random
import time

import pytest
from tests.recipes.killed_runs import finish, hashes, kill_when, rows, saving, start
from tests.recipes.test_reward_model import by_length, made_rankings, write
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.slow

CONFIG = """
model = "{model}"
output = "{output}"
seed = 3
epochs = 2
rankings_per_step = 8
[data]
path = "{data}"
held_out_share = 0.2
[preference]
ties = "learn"
center_coef = 0.01
[optimizer]
learning_rate = 1e-3
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
every_steps = 4
[checkpoint]
every_steps = {every_steps}
{more}
"""
COMPARED = (
    "metrics.jsonl",
    "evaluations.jsonl",
    "model/model.safetensors",
    "model/reward_model.json",
    "reward_model.png",
)


@pytest.mark.parametrize("more", ["", "[lora]\nr = 4"], ids=["whole", "lora"])
def test_killed_at_random_moments_and_while_saving(tmp_path, more):
    model = save_tiny_model(tmp_path / "model", seed=1)
    data = write(tmp_path / "data.jsonl", made_rankings(by_length, count=60))

    def begin(folder, every_steps):
        text = CONFIG.format(
            model=model, output=folder / "run", data=data, every_steps=every_steps, more=more
        )
        return start("reward-model", folder, text)

    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    finish(begin(untouched, 1))
    rng, kills = random.Random(0), 0
    for condition in (
        lambda: rows(killed) >= 1,
        lambda: saving(killed) and rows(killed) >= 4,
        lambda: rows(killed) >= 7 and time.sleep(rng.random() * 0.05) is None,
    ):
        kills += kill_when(begin(killed, 3), condition)
    assert kills >= 2
    finish(begin(killed, 3))
    assert hashes(killed, COMPARED) == hashes(untouched, COMPARED)
    steps = [json.loads(line)["step"] for line in (killed / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
