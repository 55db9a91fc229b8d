"""A curve in one line of characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"


def spark_line(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """At most `width` characters, oldest left, scaled from the smallest value to the largest.

    More values than characters: each character is the mean of its share of them. Values that are not finite
    are left out. A flat curve is drawn in the middle.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width <= 0:
        return ""
    count = min(width, len(finite))
    edges = [len(finite) * index // count for index in range(count + 1)]
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    levels = _ASCII if ascii_only else _BLOCKS
    if not (math.isfinite(high - low) and high > low):
        return levels[len(levels) // 2] * count
    return "".join(levels[round((mean - low) / (high - low) * (len(levels) - 1))] for mean in means)


def can_show_blocks(encoding: str | None) -> bool:
    """Whether a stream with this encoding can print the block characters."""
    try:
        _BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
