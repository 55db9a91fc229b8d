"""Runs in processes of their own, to be killed at a chosen moment; a run's folder is `folder / "run"`."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def start(command: str, folder: Path, config: str) -> subprocess.Popen[str]:
    """`posttrain COMMAND` with this configuration, on one thread."""
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(config)
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain", command, str(folder / "own.toml")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    """What the process printed until its end, which must have this status."""
    output, _ = process.communicate(timeout=240)
    assert process.returncode == status, output
    return output


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
    """Steps that the run has written."""
    path = folder / "run" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def saving(folder: Path) -> bool:
    """Whether a checkpoint is being written, or was when the process was killed."""
    checkpoints = folder / "run" / "checkpoints"
    return checkpoints.exists() and any(p.name.startswith(".saving") for p in checkpoints.iterdir())


def hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Of these files of the run."""
    return {name: hashlib.sha256((folder / "run" / name).read_bytes()).hexdigest() for name in names}
