"""Fine-tuning killed at any moment ends with the same bits as a run that nobody touched."""

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
epochs = 6
examples_per_step = 8
[data]
path = "{data}"
held_out_share = 0.3
[optimizer]
learning_rate = 1e-3
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
every_steps = 4
[checkpoint]
every_steps = {every_steps}
"""
COMPARED = ("metrics.jsonl", "evaluations.jsonl", "model/model.safetensors")


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    save_tiny_model(folder / "tiny", kind="llama", seed=1)
    rows = [{"prompt": f"number {n}", "completion": "x" * (n % 7 + 1)} for n in range(40)]
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(folder: Path, material: Path, every_steps: int) -> subprocess.Popen[str]:
    config = folder / "own.toml"
    places = {"model": material / "tiny", "data": material / "own.jsonl", "output": folder / "run"}
    config.write_text(CONFIG.format(**places, every_steps=every_steps))
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain", "sft", str(config)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
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


def test_killed_at_random_moments_and_while_saving(tmp_path, material):
    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    untouched.mkdir()
    killed.mkdir()
    finish(start(untouched, material, every_steps=1))
    rng = random.Random(0)
    kills = 0
    for every_steps, condition in (
        (2, lambda: rows(killed) >= 3 and time.sleep(rng.random() * 0.02) is None),
        (1, lambda: saving(killed) and rows(killed) >= 8),
    ):
        kills += kill_when(start(killed, material, every_steps), condition)
    assert kills == 2
    assert "going on after step" in finish(start(killed, material, every_steps=3))
    assert hashes(killed) == hashes(untouched)
    steps = [json.loads(line)["step"] for line in (killed / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
