"""Times, peak memory and how a measurement is printed: standard library only, so that every environment has it."""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any


def use_all_cores() -> int:
    """As many threads as this process may use cores, for libraries that are imported after this."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    return cores


def seconds_of(work: Callable[[], Any], *, repeats: int, warm_up: int = 1) -> list[float]:
    """How long each of `repeats` calls took, after `warm_up` others."""
    for _ in range(warm_up):
        work()
    found = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        found.append(perf_counter() - started)
    return found


def peak_memory_mib() -> float:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def report(found: Mapping[str, Any]) -> None:
    """One line of JSON, the last line that a measured program prints."""
    print(json.dumps(found), flush=True)
