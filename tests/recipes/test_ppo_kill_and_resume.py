"""PPO killed at any moment ends with the same bits as a run that nobody touched: policy, critic and KL coefficient."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.recipes.killed_runs import finish, hashes, kill_when, rows, saving, start
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.slow

CONFIG = """
model = "{model}"
output = "{output}"
seed = 3
steps = 6
prompts_per_step = 4
responses_per_prompt = 2
minibatches_per_step = 2
epochs_per_step = 2
[data]
task = "sums"
[sampling]
max_new_tokens = 6
[algorithm]
kl_target = 0.5
kl_horizon = 50
overlong = "bootstrap"
[optimizer]
learning_rate = 1e-3
schedule = "linear"
warmup_steps = 4
[critic]
kind = "{kind}"
[critic.optimizer]
learning_rate = 1e-2
schedule = "cosine"
warmup_steps = 2
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
every_steps = 3
num_prompts = 4
samples_per_prompt = 2
[checkpoint]
every_steps = 2
"""
COMPARED = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "model/model.safetensors")
CRITIC = {"own": "model/critic/model.safetensors", "head": "model/value_head.safetensors"}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", kind="llama", seed=1)


@pytest.mark.parametrize("kind", ["own", "head"])
def test_killed_at_random_moments_and_while_saving(tmp_path, model, kind):
    def run(folder: Path):
        return start("ppo", folder, CONFIG.format(model=model, output=folder / "run", kind=kind))

    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    finish(run(untouched))
    rng = random.Random(kind)
    kills = 0
    for moment in (
        lambda: rows(killed) >= 1,
        lambda: saving(killed) and rows(killed) >= 2,
        lambda: rows(killed) >= 4 and time.sleep(rng.random() * 0.1) is None,
    ):
        kills += kill_when(run(killed), moment)
    assert kills >= 2
    assert "going on after step" in finish(run(killed))
    names = (*COMPARED, CRITIC[kind])
    assert hashes(killed, names) == hashes(untouched, names)
