"""Fine-tuning killed at any moment ends with the same bits as a run that nobody touched."""

from __future__ import annotations

import json
import random
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


def run(folder: Path, material: Path, every_steps: int) -> subprocess.Popen[str]:
    places = {"model": material / "tiny", "data": material / "own.jsonl", "output": folder / "run"}
    return start("sft", folder, CONFIG.format(**places, every_steps=every_steps))


def test_killed_at_random_moments_and_while_saving(tmp_path, material):
    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    finish(run(untouched, material, every_steps=1))
    rng = random.Random(0)
    kills = 0
    for every_steps, condition in (
        (2, lambda: rows(killed) >= 3 and time.sleep(rng.random() * 0.02) is None),
        (1, lambda: saving(killed) and rows(killed) >= 8),
    ):
        kills += kill_when(run(killed, material, every_steps), condition)
    assert kills == 2
    assert "going on after step" in finish(run(killed, material, every_steps=3))
    assert hashes(killed, COMPARED) == hashes(untouched, COMPARED)
    steps = [json.loads(line)["step"] for line in (killed / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
