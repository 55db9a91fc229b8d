"""Seconds spent in the parts of one step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class StepClock:
    """Adds up the time of calls by name.

    Example:
        clock = StepClock()
        rollouts = clock.timed("generate_seconds", engine.generate)(prompts, sampling, 8)
        clock.seconds  # {"generate_seconds": 3.5}
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """The same function; the time of its calls adds up under `name`, also when it fails."""

        def timed(*arguments: Any, **keywords: Any) -> Result:
            started_at = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started_at

        return timed
