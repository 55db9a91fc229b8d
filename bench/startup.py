"""How long `posttrain --help` takes, and a run from its start to its first update.

.venv/bin/python bench/startup.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

from measuring import report, seconds_of, spread

COMMAND = Path(sys.executable).with_name("posttrain")


def main() -> None:
    """Prints one JSON line."""
    help_seconds = seconds_of(
        lambda: subprocess.run([COMMAND, "--help"], check=True, capture_output=True), repeats=10, warm_up=2
    )
    report({"help_seconds": spread(help_seconds), "first_update_seconds": first_update_seconds()})


def first_update_seconds() -> float:
    """From the start of `posttrain grpo` on sums to its first line of metrics, without held-out measuring."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = Path(folder) / "first.toml"
        settings.write_text(
            f'output = {json.dumps(str(run))}\nsteps = 1\n[data]\ntask = "sums"\n[sampling]\nmax_new_tokens = 16\n'
            "[evaluation]\nnum_prompts = 1\nsamples_per_prompt = 1\n"
        )
        started = perf_counter()
        process = subprocess.Popen(
            [COMMAND, "grpo", settings], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        metrics = run / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() not in (None, 0):
                raise RuntimeError((process.stderr.read() if process.stderr else b"").decode())
            sleep(0.02)
        seconds = perf_counter() - started
        process.communicate(timeout=120)
    return seconds


if __name__ == "__main__":
    main()
