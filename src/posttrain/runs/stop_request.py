"""Ctrl-C and SIGTERM wait until what is under way is done and saved."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest:
    """While the block lasts, the first Ctrl-C (or SIGTERM) only sets `is_made`; a second Ctrl-C ends at once.

    `on_first` is called when the request is made, to tell the user. Outside the main thread nothing is caught:
    whoever runs that one decides about signals.
    """

    def __init__(self, on_first: Callable[[], object]) -> None:
        self.is_made = False
        self._on_first = on_first
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not the main thread
            self._before = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_made and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_made = True
        self._on_first()
