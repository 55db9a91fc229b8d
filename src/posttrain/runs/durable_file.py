"""Files that are either the old one or the new one after a crash, never a mix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def replace_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """`path` holds `content`, on disk, when this returns; a crash before that leaves what was there.

    The content is written aside in the same folder, synced and renamed. The name beside it is fixed, so a
    crash leaves at most one stray file, which the next call overwrites: one writer at a time.
    """
    aside = path.with_name(f".{path.name}.aside")
    chunks = (content,) if isinstance(content, bytes) else content
    try:
        with open(aside, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on disk when this returns (where the system can promise it)."""
    # Windows cannot open a folder, and some network file systems refuse fsync on one.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
