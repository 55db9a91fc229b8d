"""Whether a place is a preference store, told without opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SQLITE: Final = b"SQLite format 3\x00"


def is_store(where: str | Path) -> bool:
    """True for a server's URL and for a file of SQLite, whatever it is called."""
    if "://" in str(where):
        return True
    try:
        with Path(where).open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def named(where: str | Path) -> str:
    """What to call it in a sentence: a file's name, or the URL, which has no password."""
    return str(where) if "://" in str(where) else Path(where).name
