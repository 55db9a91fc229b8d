"""`kill -9` at any moment, and the finished run is the same to the bit as one that nobody touched."""

from __future__ import annotations

import json
import random
import signal
import subprocess
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
steps = 8
prompts_per_step = 4
responses_per_prompt = 4
minibatches_per_step = 2
epochs_per_step = 2
[data]
task = "sums"
[sampling]
max_new_tokens = 6
[algorithm]
kl_coef = 0.05
[optimizer]
learning_rate = 1e-3
schedule = "linear"
warmup_steps = 4
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
every_steps = 3
num_prompts = 4
samples_per_prompt = 2
[checkpoint]
every_steps = {every_steps}
{more}
"""
COMPARED = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "model/model.safetensors")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder, kind="llama", seed=1)
    return folder


def run(folder: Path, model: Path, more: str = "", every_steps: int = 1) -> subprocess.Popen[str]:
    config = CONFIG.format(model=model, output=folder / "run", more=more, every_steps=every_steps)
    return start("grpo", folder, config)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, model) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    finish(run(folder, model))
    return folder


def test_same_seed_same_bits(untouched, tmp_path, model):
    finish(run(tmp_path, model))
    assert hashes(tmp_path, COMPARED) == hashes(untouched, COMPARED)


@pytest.mark.parametrize("every_steps", [1, 3])
def test_killed_at_random_moments_and_while_saving(untouched, tmp_path, model, every_steps):
    """With a checkpoint every 3 steps, rows that came after it are taken back and written again."""
    rng = random.Random(every_steps)
    kills = 0
    for condition in (
        lambda: rows(tmp_path) >= 1,
        lambda: saving(tmp_path) and rows(tmp_path) >= 3,
        lambda: saving(tmp_path) and rows(tmp_path) >= 4 and time.sleep(rng.random() * 0.01) is None,
        lambda: rows(tmp_path) >= 6 and time.sleep(rng.random() * 0.2) is None,
    ):
        kills += kill_when(run(tmp_path, model, every_steps=every_steps), condition)
    assert kills >= 3
    output = finish(run(tmp_path, model, every_steps=every_steps))
    assert "going on after step" in output or "complete" in output
    assert hashes(tmp_path, COMPARED) == hashes(untouched, COMPARED)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))


def test_killed_before_the_first_checkpoint(untouched, tmp_path, model):
    more = "keep = 1"
    assert kill_when(run(tmp_path, model, more), lambda: (tmp_path / "run/metrics.jsonl").exists())
    finish(run(tmp_path, model, more))
    assert hashes(tmp_path, COMPARED) == hashes(untouched, COMPARED)


def test_ctrl_c_saves_and_says_how_to_go_on(untouched, tmp_path, model):
    process = run(tmp_path, model)
    deadline = time.monotonic() + 120
    while rows(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = finish(process, status=130)
    assert "which is saved" in output
    assert "same command" in output
    assert rows(tmp_path) < 8
    finish(run(tmp_path, model))
    assert hashes(tmp_path, COMPARED) == hashes(untouched, COMPARED)


def test_changed_setting_is_refused_with_the_difference(tmp_path, model):
    assert kill_when(run(tmp_path, model), lambda: rows(tmp_path) >= 2)
    config = (tmp_path / "own.toml").read_text()
    changed = config.replace("learning_rate = 1e-3", "learning_rate = 2e-3")
    output = finish(start("grpo", tmp_path, changed), status=2)
    assert "optimizer.learning_rate: 0.001 in the run -> 0.002 now" in output


def test_finished_run_is_left_as_it_is(untouched, model):
    before = hashes(untouched, COMPARED)
    output = finish(run(untouched, model))
    assert "complete" in output
    assert hashes(untouched, COMPARED) == before
