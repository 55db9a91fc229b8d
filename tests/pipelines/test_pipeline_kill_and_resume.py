"""`kill -9` and Ctrl-C inside a stage: the same command goes on, and everything is as if nobody had touched it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pipelines.small_pipelines import SmallPipeline

pytestmark = pytest.mark.slow

COMPARED = (
    "samples/responses.jsonl",
    "ranked/rankings.jsonl",
    "policy/metrics.jsonl",
    "policy/evaluations.jsonl",
    "policy/model/model.safetensors",
    "score/evaluation.json",
)


def made(folder: Path, model: Path) -> SmallPipeline:
    small = SmallPipeline(folder, model)
    small.stages["samples"] |= {"prompts_per_chunk": 1, "responses_per_prompt": 32}
    small.stages["policy"] |= {"steps": 5, "checkpoint": {"every_steps": 1}}
    small.write()
    return small


def start(small: SmallPipeline) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain", "pipeline", str(small.file)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def signal_when(process: subprocess.Popen[str], number: int, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            process.send_signal(number)
            return True
        time.sleep(0.001)
    return False


def hashes(small: SmallPipeline) -> dict[str, str]:
    return {name: hashlib.sha256((small.output / name).read_bytes()).hexdigest() for name in COMPARED}


def test_killed_inside_stages_and_interrupted(tmp_path, model):
    (tmp_path / "untouched").mkdir()
    (tmp_path / "touched").mkdir()
    untouched, small = made(tmp_path / "untouched", model), made(tmp_path / "touched", model)
    process = start(untouched)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output

    def rows(name: str) -> int:
        path = small.output / name
        return path.read_bytes().count(b"\n") if path.exists() else 0

    kills = 0
    for condition in (
        lambda: rows("samples/responses.jsonl") >= 1,
        lambda: rows("policy/metrics.jsonl") >= 1,
    ):
        process = start(small)
        kills += signal_when(process, signal.SIGKILL, condition)
        process.communicate()
    assert kills == 2
    records = json.loads((small.output / "pipeline.json").read_text())["stages"]
    assert records["policy"]["status"] == "started"

    process = start(small)
    assert signal_when(process, signal.SIGINT, lambda: rows("policy/metrics.jsonl") >= 3)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130, output
    assert "policy (grpo): going on, it was started and not finished" in output
    assert "The same command goes on" in output
    assert "not reached" in output

    process = start(small)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "resumed" in output
    assert hashes(small) == hashes(untouched)
