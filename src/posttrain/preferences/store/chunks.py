"""Many records, a few at a time: databases take only so many values in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Record = TypeVar("Record")


def in_chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """The records in lists of at most `size`, in order; no empty list."""
    rest = iter(records)
    while chunk := list(islice(rest, size)):
        yield chunk
