"""Coordinates of the page's pictures, in per cent of their width or height: drawn as SVG without any inline style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.report import CheckpointQuality


@dataclass(frozen=True, slots=True)
class IntervalMark:
    """A value with its interval on a common scale: where the line begins and ends, and where the dot stands."""

    low: float
    high: float
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its label: where it begins, how wide and how high it is."""

    label: str
    start: float
    width: float
    height: float
    number: str


def interval_marks(checkpoints: Sequence[CheckpointQuality]) -> tuple[dict[str, IntervalMark], float]:
    """Checkpoint -> its strength on a scale that holds all intervals; and where the mean, 0, stands on it."""
    known = {own.checkpoint: own.strength for own in checkpoints if not isinstance(own.strength, TooFew)}
    if not known:
        return {}, 50.0
    low = min(0.0, *(own.interval[0] for own in known.values()))
    high = max(0.0, *(own.interval[1] for own in known.values()))

    def place(value: float) -> float:
        return round(4 + 92 * (value - low) / ((high - low) or 1.0), 2)

    marks = {
        name: IntervalMark(place(own.interval[0]), place(own.interval[1]), place(own.value))
        for name, own in known.items()
    }
    return marks, place(0.0)


def day_bars(per_day: Mapping[int, int], today: int, num_days: int = 28) -> list[Bar]:
    """Judgements of each of the last days, today the last; none where nothing was judged in them."""
    days = range(today - num_days + 1, today + 1)
    most = max((per_day.get(day, 0) for day in days), default=0)
    if most == 0:
        return []
    width = 100 / num_days
    return [
        Bar(
            datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d"),
            round(place * width + 0.1 * width, 3),
            round(0.8 * width, 3),
            round(100 * per_day.get(day, 0) / most, 2),
            f"{per_day.get(day, 0):,}",
        )
        for place, day in enumerate(days)
    ]
