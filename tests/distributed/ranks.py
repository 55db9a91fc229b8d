"""Runs a function in several gloo processes on this machine and hands back what each returned or raised."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing

from posttrain.distributed import ProcessGroup

Work = tuple[Callable[..., Any], tuple[Any, ...]]


def run_ranks(works: list[Work], world_size: int, folder: Path) -> list[list[dict[str, Any]]]:
    """For each work and each rank `{"result": ...}` or `{"error": ..., "trace": ...}`.

    `function(ranks, *arguments)` returns JSON. All works run in the same processes, one after another, because
    starting one costs seconds of imports.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Imports take seconds, so one server does them and every rank is forked from it.
    multiprocessing.set_forkserver_preload(["tests.distributed.test_process_group"])
    torch.multiprocessing.start_processes(
        _one_rank,
        args=(world_size, port, str(folder), works),
        nprocs=world_size,
        start_method="forkserver",
    )
    by_rank = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(world_size)]
    return [list(found) for found in zip(*by_rank, strict=True)]


def _one_rank(rank: int, world_size: int, port: int, folder: str, works: list[Work]) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    found: list[dict[str, Any]] = []
    with ProcessGroup.join("cpu", timeout_seconds=120) as ranks:
        for work, arguments in works:
            try:
                found.append({"result": work(ranks, *arguments)})
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                found.append({"error": text, "trace": traceback.format_exc()})
        Path(folder, f"rank{rank}.json").write_text(json.dumps(found))
