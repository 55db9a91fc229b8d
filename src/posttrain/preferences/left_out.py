"""Counts of what is left out on the way in and out, one entry a reason, however much it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from posttrain.data.demonstrations import Dropped


class LeftOutCounts:
    """Reasons with how often they came and the name of the first; no more is kept of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._firsts: dict[str, str] = {}

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """So many more for this reason; `name` is that of the first of them."""
        self._counts[reason] += count
        self._firsts.setdefault(reason, name)

    def add_all(self, dropped: Iterable[Dropped]) -> None:
        """What was counted elsewhere."""
        for entry in dropped:
            self.add(entry.reason, entry.first, entry.count)

    def dropped(self) -> list[Dropped]:
        """One entry a reason, in the order of their first ones."""
        return [Dropped(reason, self._counts[reason], first) for reason, first in self._firsts.items()]
