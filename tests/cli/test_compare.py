"""`posttrain compare` on a tiny model, from two files to the table; and what it refuses before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

CONFIG = """
model = "{model}"
steps = 2
prompts_per_step = 4
responses_per_prompt = 2
seed = {seed}
[data]
task = "sums"
[sampling]
max_new_tokens = 4
[algorithm]
kl_coef = 0.05
{algorithm}
[compute]
dtype = "float32"
device = "cpu"
[evaluation]
num_prompts = 2
samples_per_prompt = 2
"""


def compare(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posttrain", "compare", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def write(folder: Path, model: Path, seed: int = 0) -> list[str]:
    files = {"ppo.toml": "gae_lambda = 1.0", "grpo.toml": 'baseline = "group_mean"'}
    for name, algorithm in files.items():
        number = seed if name == "grpo.toml" else 0
        (folder / name).write_text(CONFIG.format(model=model, algorithm=algorithm, seed=number))
    return [str(folder / name) for name in files]


@pytest.mark.slow
def test_side_by_side_and_not_twice(tmp_path):
    files = write(tmp_path, save_tiny_model(tmp_path / "model", seed=1))
    words = (*files, "--output", str(tmp_path / "out"))
    done = compare(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The note says that GRPO" in done.stdout
    assert "held-out score" in done.stdout
    found = json.loads((tmp_path / "out/compare.json").read_text())
    ppo, grpo = found["runs"]
    assert [run["algorithm"] for run in found["runs"]] == ["ppo", "grpo"]
    assert ppo["parameters_held"]["critic"] > 0 == grpo["parameters_held"]["critic"]
    assert all(run["peak_memory_bytes"] > 2**20 and run["seconds"] > 0 for run in found["runs"])
    assert [point["step"] for point in grpo["held_out"]] == [0, 2]
    assert found["differences"] == []
    assert (tmp_path / "out/compare.png").read_bytes().startswith(b"\x89PNG")

    before = {run: (tmp_path / "out" / run / "timings.jsonl").read_bytes() for run in ("ppo", "grpo")}
    again = compare(*words)
    assert again.returncode == 0
    assert again.stdout.count("this run is complete") == 2
    assert before == {run: (tmp_path / "out" / run / "timings.jsonl").read_bytes() for run in before}
    assert json.loads((tmp_path / "out/compare.json").read_text()) == found


def test_runs_that_differ_in_more_than_their_algorithm_are_refused(tmp_path):
    files = write(tmp_path, tmp_path / "no-model", seed=5)
    done = compare(*files, "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert f"seed: 0 in {files[0]}, 5 in {files[1]}" in done.stderr
    assert "--allow-differences" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_that_fails_ends_the_comparison(tmp_path):
    files = write(tmp_path, tmp_path / "no-model", seed=5)
    done = compare(*files, "--output", str(tmp_path / "out"), "--allow-differences")
    assert done.returncode == 2
    assert "no-model" in done.stderr
    assert "did not get to its end" in done.stdout
    assert not (tmp_path / "out/grpo").exists()
