"""Numbers as a page says them."""

from __future__ import annotations

import math

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.habits import Times
from posttrain.preferences.quality.intervals import Estimate

POINTS_PER_LOGIT = 400 / math.log(10)
"""Strengths are shown on the scale of chess ratings, which people know: 100 points more win 64 % of comparisons."""


def too_few(number: TooFew, what: str = "items") -> str:
    """What stands in the place of a number that would say nothing."""
    return f"too few: {number.have} of {number.need} {what}"


def percent(share: float) -> str:
    """0.734 -> 73 %, which does not break."""
    return f"{100 * share:.0f}\u00a0%"


def percent_range(interval: tuple[float, float] | None) -> str:
    """The interval of a share; "" where there is none."""
    return "" if interval is None else f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f}\u00a0%"


def decimal(value: float) -> str:
    """0.4187 -> 0.42, with a real minus sign."""
    return signed(f"{value:.2f}".replace("-0.00", "0.00"))


def decimal_range(interval: tuple[float, float] | None) -> str:
    """The interval of a coefficient; "" where there is none."""
    return "" if interval is None else f"{decimal(interval[0])} to {decimal(interval[1])}"


def points(value: float) -> str:
    """A strength in log-odds as points, with its sign."""
    number = round(value * POINTS_PER_LOGIT)
    return signed(f"{number:+d}") if number else "0"


def duration(seconds: float) -> str:
    """75 -> 1 min 15 s; hours from two of them on."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if seconds < 600 and rest else f"{minutes} min"
    return f"{seconds / 3600:,.0f} h"


def count(number: int, one: str, many: str = "") -> str:
    """1 item, 1,200 items"""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def p_value(value: float) -> str:
    """As p-values are written; a tiny one is only bounded."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def share_of(number: Estimate | TooFew) -> str:
    """A share with nothing beside it."""
    return too_few(number) if isinstance(number, TooFew) else percent(number.value)


def median_of(times: Times | TooFew) -> str:
    """The middle of times."""
    return too_few(times, "times") if isinstance(times, TooFew) else duration(times.median)


def signed(text: str) -> str:
    """With the sign that typesetters use for minus."""
    return text.replace("-", "−")
