"""A file of lines that grows by whole chunks and survives a crash: what is counted is on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from posttrain.errors import CheckpointError
from posttrain.runs.durable_file import replace_file, sync_folder


def count_lines(path: Path) -> int:
    """Whole lines of the file; 0 where there is none. A half-written last line does not count."""
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def keep_lines(path: Path, count: int) -> None:
    """The file holds its first `count` lines and nothing after them, on disk; it is made where there is none."""
    is_there = path.exists()

    def first() -> Iterator[bytes]:
        if is_there:
            with open(path, "rb") as file:
                yield from islice(file, count)

    replace_file(path, first())


def append_durably(path: Path, content: bytes) -> None:
    """`content` stands at the end of the file, on disk. CheckpointError when the disk does not take it.

    A crash on the way leaves a part of it, which `keep_lines` takes back.
    """
    is_new = not path.exists()
    try:
        with open(path, "ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written: {error.strerror}. What was there before is safe; make room, then give "
            "the same command again."
        ) from error
    if is_new:
        sync_folder(path.parent)
