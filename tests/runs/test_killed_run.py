"""A real process, really killed, again and again, must leave the files of one that was left alone."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import read_rows

RUN = """
import json, os, sys, time
from posttrain.runs.durable_file import replace_file
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog
from posttrain.runs.samples import append_samples
from posttrain.types import Prompt, Rollout, Score, ScoredRollout

folder = RunFolder(sys.argv[1])
steps = 40
with folder.lock(), RunLog(folder) as log:
    print("locked", flush=True)
    checkpoint = folder.path / "checkpoints"
    start = json.loads(checkpoint.read_bytes()) if checkpoint.exists() else 0
    assert log.resume(start) == []
    if log.evaluations.last_step is None:
        log.write_evaluation(0, {"accuracy": 0.1})
    for step in range(start + 1, steps + 1):
        rollout = Rollout(Prompt("p", "q"), 0, (1,) * step, (0.0,) * step, "eos", "x" * 40 * step, step)
        append_samples(log.samples, step, [ScoredRollout(rollout, Score(1 / step))] * 3)
        log.write_step(step, {"reward_mean": step / 7, "grad_norm": float("nan")}, {"step_seconds": time.time()})
        if step % 10 == 0:
            log.write_evaluation(step, {"accuracy": step / 100})
        if step % 4 == 0:
            replace_file(checkpoint, json.dumps(step).encode())
"""


def start(path):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_kill_9_and_resume_gives_the_files_of_an_uninterrupted_run(tmp_path):
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    _, errors = start(whole.path).communicate(timeout=60)
    assert errors == b""
    delays = random.Random(5)
    for _ in range(12):
        process = start(killed.path)
        assert process.stdout.readline() == b"locked\n"
        time.sleep(delays.uniform(0, 0.12))
        process.kill()
        _, errors = process.communicate()
        assert errors == b""
    _, errors = start(killed.path).communicate(timeout=60)
    assert errors == b""
    for name in ("metrics", "samples", "evaluations"):
        assert getattr(killed, name).read_bytes() == getattr(whole, name).read_bytes(), name
    assert [row["step"] for row in read_rows(killed.timings)] == list(range(1, 41))
