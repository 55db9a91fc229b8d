"""Documents side by side in rows, so that a step computes little padding; what it learns stays the same."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack_rows(lengths: Sequence[int], capacity: int | None = None) -> list[list[int]]:
    """Rows of document numbers, each document in exactly one row, whole; no row longer than `capacity` tokens.

    `capacity` is by default the longest document: the memory of a step does not grow. Best fit decreasing: from
    long to short, each document goes where it leaves the least room. For bins in general this takes at most
    11/9 of the fewest possible (Johnson et al. 1974). ValueError for a document that is longer than a row.

    Example: pack_rows([3, 5, 2]) == [[1], [0, 2]]
    """
    longest = max(lengths, default=0)
    capacity = longest if capacity is None else capacity
    if longest > capacity:
        raise ValueError(f"a document of {longest} tokens does not fit into rows of {capacity}")
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens left, row), ascending
    for document in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        place = bisect_left(rooms, (lengths[document], -1))
        if place == len(rooms):
            rows.append([document])
            insort(rooms, (capacity - lengths[document], len(rows) - 1))
        else:
            room, row = rooms.pop(place)
            rows[row].append(document)
            insort(rooms, (room - lengths[document], row))
    return rows


def filled_share(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> float:
    """Tokens of documents as a share of what is computed when all rows are padded to the longest; 1.0 for no rows."""
    longest = max((sum(lengths[document] for document in row) for row in rows), default=0)
    return sum(lengths) / (longest * len(rows)) if longest else 1.0
