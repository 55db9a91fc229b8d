"""How much there must be before a number is said, and what is said until then.

The least numbers are where the 95 % intervals of these measures begin to hold what they promise (simulated in the
tests); below them an interval is as wide as the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

MIN_SHARED_ITEMS: Final = 10
"""Items that two people ranked, for alpha, agreement and tau-b."""
MIN_RANKINGS_BY_PLACE: Final = 30
"""Rankings with a known order of the cards, for the position test and the counts beside it."""
MIN_GOLD_ITEMS: Final = 5
"""Items with a known answer that a person ranked."""
MIN_PROMPTS_OF_CHECKPOINT: Final = 20
"""Prompts in which a checkpoint was compared with another."""
MIN_TIMES: Final = 5
"""Judgements whose time was measured."""

Number = TypeVar("Number")


@dataclass(frozen=True, slots=True)
class TooFew:
    """Instead of a number: so many there are, so many are needed."""

    have: int
    need: int


def if_enough(number: Number | None, have: int, need: int) -> Number | TooFew:
    """The number where there are enough; it may be None where that is not what is missing, and is too few then."""
    return TooFew(have, need) if number is None or have < need else number
