"""`kill -9` at any moment, and the finished run is the same to the bit as one that nobody touched."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
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


def start(folder: Path, model: Path, more: str = "", every_steps: int = 1) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    config = folder / "own.toml"
    config.write_text(CONFIG.format(model=model, output=folder / "run", more=more, every_steps=every_steps))
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain", "grpo", str(config)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == status, output
    return output


def hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / "run" / name).read_bytes()).hexdigest() for name in COMPARED}


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """SIGKILL as soon as the condition holds; False when the process ended before."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            process.communicate()
            return False
        if condition():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.001)
    raise AssertionError("the moment to kill never came")


def rows(folder: Path) -> int:
    path = folder / "run" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def saving(folder: Path) -> bool:
    checkpoints = folder / "run" / "checkpoints"
    return checkpoints.exists() and any(p.name.startswith(".saving") for p in checkpoints.iterdir())


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, model) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    finish(start(folder, model))
    return folder


def test_same_seed_same_bits(untouched, tmp_path, model):
    finish(start(tmp_path, model))
    assert hashes(tmp_path) == hashes(untouched)


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
        kills += kill_when(start(tmp_path, model, every_steps=every_steps), condition)
    assert kills >= 3
    output = finish(start(tmp_path, model, every_steps=every_steps))
    assert "going on after step" in output or "complete" in output
    assert hashes(tmp_path) == hashes(untouched)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))


def test_killed_before_the_first_checkpoint(untouched, tmp_path, model):
    more = "keep = 1"
    assert kill_when(start(tmp_path, model, more), lambda: (tmp_path / "run/metrics.jsonl").exists())
    finish(start(tmp_path, model, more))
    assert hashes(tmp_path) == hashes(untouched)


def test_ctrl_c_saves_and_says_how_to_go_on(untouched, tmp_path, model):
    process = start(tmp_path, model)
    deadline = time.monotonic() + 120
    while rows(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = finish(process, status=130)
    assert "which is saved" in output
    assert "same command" in output
    assert rows(tmp_path) < 8
    finish(start(tmp_path, model))
    assert hashes(tmp_path) == hashes(untouched)


def test_changed_setting_is_refused_with_the_difference(untouched, tmp_path, model):
    process = start(tmp_path, model)
    assert kill_when(process, lambda: rows(tmp_path) >= 2)
    changed = (tmp_path / "own.toml").read_text().replace("learning_rate = 1e-3", "learning_rate = 2e-3")
    (tmp_path / "own.toml").write_text(changed)
    done = subprocess.run(
        [sys.executable, "-m", "posttrain", "grpo", str(tmp_path / "own.toml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "optimizer.learning_rate: 0.001 in the run -> 0.002 now" in done.stderr


def test_finished_run_is_left_as_it_is(untouched, model):
    before = hashes(untouched)
    output = finish(start(untouched, model))
    assert "complete" in output
    assert hashes(untouched) == before
