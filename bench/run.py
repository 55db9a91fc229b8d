"""Every benchmark in one run, programs in turns: `./run bench`.

    ./run bench                          # all; about an hour on 2 cores
    ./run bench --only generation grpo   # some
    ./run bench --rounds 1               # each once, to look

Peers live in environments of their own (`environments.py`). In each round every program is measured once before any
is measured again, each in a fresh process, so that a machine that slows down slows all of them. Writes one file,
bench/results/<date>-<machine>.json, with versions, machine and all rounds; `performance_page.py` makes the page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from environments import python_of

ROOM: Final = Path(__file__).parent
Shape = tuple[str, ...]

GENERATION_SHAPES: Final[tuple[Shape, ...]] = tuple(
    ("--prompts", prompts, "--responses", responses, "--max-new-tokens", length)
    for length in ("64", "256")
    for prompts, responses in (("4", "8"), ("32", "8"), ("1", "256"))
)
GRPO_SHAPES: Final[tuple[Shape, ...]] = (
    ("--kind", "open", "--prompts", "4", "--responses", "8", "--max-new-tokens", "64", "--kl-coef", "0.001"),
    ("--kind", "sums", "--prompts", "16", "--responses", "8", "--max-new-tokens", "16", "--kl-coef", "0"),
)
UPDATE_SHAPES: Final[tuple[Shape, ...]] = (
    ("--prompts", "4", "--responses", "8", "--response-tokens", "64"),
    ("--prompts", "16", "--responses", "8", "--response-tokens", "64"),
    ("--prompts", "16", "--responses", "8", "--response-tokens", "64", "--ragged"),
    ("--prompts", "16", "--responses", "8", "--response-tokens", "256", "--ragged"),
)


def own(script: str, *words: str) -> list[str]:
    """The command of a benchmark of ours."""
    return [sys.executable, str(ROOM / script), *words]


def of_peer(environment: str, script: str, *words: str) -> list[str]:
    """The command of a peer's, by the Python of its environment."""
    return [str(python_of(environment)), str(ROOM / "peers" / script), *words]


def generation() -> Iterator[list[str]]:
    """Sampling: ours, vLLM on a CPU, transformers in bfloat16 and float32."""
    for shape in GENERATION_SHAPES:
        yield own("generation.py", *shape)
        yield of_peer("vllm", "vllm_generate.py", *shape)
        yield of_peer("transformers", "transformers_generate.py", *shape)
    yield of_peer("transformers", "transformers_generate.py", *GENERATION_SHAPES[1], "--dtype", "float32")


def grpo() -> Iterator[list[str]]:
    """A GRPO step: ours, and TRL at each of its settings."""
    for shape in GRPO_SHAPES:
        yield own("grpo_step.py", *shape)
        for setting in ("float32", "autocast", "pure_bfloat16"):
            yield of_peer("trl", "trl_grpo_step.py", *shape, "--setting", setting)


def update() -> Iterator[list[str]]:
    """An update alone, and the ceilings of the machine in the same round."""
    yield own("ceilings.py")
    for shape in UPDATE_SHAPES:
        yield own("update.py", *shape)


def memory() -> Iterator[list[str]]:
    """Memory against group size, response length and vocabulary."""
    yield own("memory.py")


def startup() -> Iterator[list[str]]:
    """`--help`, and the way to a first update."""
    yield own("startup.py")


PARTS: Final = {
    "startup": startup,
    "update": update,
    "generation": generation,
    "grpo": grpo,
    "memory": memory,
}
ONCE: Final = ("memory",)
"""What is deterministic enough to be measured in the first round only."""


def main() -> None:
    """Runs the parts, round after round, and writes the file after each measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()

    subprocess.run(own("workload.py"), check=True, stdout=subprocess.DEVNULL)
    facts = machine()
    output = options.output or ROOM / "results" / f"{facts['date']}-{facts['short_name']}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    for number in range(options.rounds):
        for part in options.only:
            if part in ONCE and number:
                continue
            for command in PARTS[part]():
                measured.append(measure(part, number, command))
                output.write_text(json.dumps({"machine": facts, "measured": measured}, indent=1) + "\n")
    print(f"numbers  {output}\npage     {sys.executable} bench/performance_page.py {output}")


def measure(part: str, number: int, command: list[str]) -> dict[str, Any]:
    """What the program printed on its last line; a failure is written down and does not end the run."""
    shown = " ".join(Path(word).name if word.endswith((".py", "python")) else word for word in command)
    print(f"[round {number + 1}] {shown}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOM.parent)
    entry: dict[str, Any] = {"part": part, "round": number, "command": shown}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        print(done.stderr[-2000:], file=sys.stderr)
        return entry | {"failed": f"exit status {done.returncode}", "error": done.stderr.strip()[-500:]}
    return entry | json.loads(lines[-1])


def machine() -> dict[str, Any]:
    """What was measured on, in words, with nothing that names the machine itself."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next(iter(re.findall(r"model name\s*:\s*(.+)", info)), platform.processor() or platform.machine())
    flags = set(next(iter(re.findall(r"flags\s*:\s*(.+)", info)), "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOM)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "short_name": f"{cores}-core-cpu",
        "cpu": model,
        "cores": cores,
        "instructions": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"}),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "posttrain_commit": commit.stdout.strip(),
    }


if __name__ == "__main__":
    main()
