"""What differs between two texts, word by word where that takes a moment, else by lines, else as a whole."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape
from typing import Any, Literal

from posttrain.web.ranking.hidden_characters import mask, reveal

LONGEST_COMPARED = 60_000
_SECONDS_FOR_WORDS = 0.3
# Pairs of equal words that the matcher has to look at; texts that repeat one word have the square of their length.
_MOST_PAIRS = 1_500_000
# Fewer words than this between two changes are chance ("the", ","): shown as equal they only cut a change in two.
_SHORTEST_ISLAND = 2

Operation = Literal["same", "only_a", "only_b"]
_WORD = re.compile(r"\n|[^\S\n]*(?:\w+|[^\w\s])|[^\S\n]+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Difference:
    """Stretches of text in order: in both, only in a, or only in b.

    `unit` is what was compared; `is_partial` says that only the first `LONGEST_COMPARED` characters were.
    `similarity` is the share of characters that stands in both, 0 to 1.
    """

    parts: tuple[tuple[Operation, str], ...]
    unit: Literal["words", "lines", "texts"]
    is_partial: bool
    similarity: float

    def as_json(self) -> dict[str, Any]:
        """With texts as safe HTML, in which hidden characters are badges."""
        return {
            "parts": [
                {"in": operation, "html": reveal(escape(mask(text), quote=False))}
                for operation, text in self.parts
            ],
            "unit": self.unit,
            "is_partial": self.is_partial,
            "similarity": self.similarity,
        }


class _TooSlow(Exception):
    pass


class _TimedMatcher(SequenceMatcher[str]):
    """difflib's matcher that gives up at a deadline; it looks at the clock before each search."""

    deadline = 0.0

    def find_longest_match(self, *window: Any, **named_window: Any) -> Any:
        if time.monotonic() > self.deadline:
            raise _TooSlow
        return super().find_longest_match(*window, **named_window)


def _match(a: Sequence[str], b: Sequence[str]) -> list[tuple[Operation, str]]:
    """The operations that make b of a, found between what both begin with and what both end with."""
    shorter = min(len(a), len(b))
    start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
    middle = _match_all(a[start : len(a) - end], b[start : len(b) - end])
    return [("same", "".join(a[:start])), *middle, ("same", "".join(a[len(a) - end :]))]


def _match_all(a: Sequence[str], b: Sequence[str]) -> list[tuple[Operation, str]]:
    counts_b = Counter(b)
    if sum(number * counts_b[word] for word, number in Counter(a).items()) > _MOST_PAIRS:
        raise _TooSlow
    matcher = _TimedMatcher(None, a, b, autojunk=False)
    matcher.deadline = time.monotonic() + _SECONDS_FOR_WORDS
    parts: list[tuple[Operation, str]] = []
    opcodes = matcher.get_opcodes()
    for number, (kind, a_start, a_end, b_start, b_end) in enumerate(opcodes):
        is_island = 0 < number < len(opcodes) - 1 and a_end - a_start < _SHORTEST_ISLAND
        if kind == "equal" and not (is_island and "".join(a[a_start:a_end]).strip()):
            parts.append(("same", "".join(a[a_start:a_end])))
        else:
            parts.append(("only_a", "".join(a[a_start:a_end])))
            parts.append(("only_b", "".join(b[b_start:b_end])))
    return parts


def _joined(parts: Sequence[tuple[Operation, str]]) -> tuple[tuple[Operation, str], ...]:
    """Neighbouring stretches of a change put together: all that only a has, then all that only b has."""
    joined: list[tuple[Operation, str]] = []
    only: dict[str, str] = {"only_a": "", "only_b": ""}

    def close() -> None:
        joined.extend((name, only[name]) for name in ("only_a", "only_b") if only[name])
        only.update(only_a="", only_b="")

    for operation, text in parts:
        if operation == "same" and text:
            close()
            joined.append(("same", text))
        elif operation != "same":
            only[operation] += text
    close()
    return tuple(joined)


def difference(a: str, b: str) -> Difference:
    """What differs between `a` and `b`."""
    is_partial = max(len(a), len(b)) > LONGEST_COMPARED
    a, b = a[:LONGEST_COMPARED], b[:LONGEST_COMPARED]
    units: tuple[tuple[Literal["words", "lines"], re.Pattern[str]], ...] = (
        ("words", _WORD),
        ("lines", _LINE),
    )
    unit: Literal["words", "lines", "texts"] = "texts"
    parts: list[tuple[Operation, str]] = [("same", a)] if a == b else [("only_a", a), ("only_b", b)]
    for name, pattern in units:
        try:
            parts, unit = _match(pattern.findall(a), pattern.findall(b)), name
            break
        except _TooSlow:
            continue
    joined = _joined(parts)
    num_same = sum(len(text) for operation, text in joined if operation == "same")
    similarity = 2 * num_same / (len(a) + len(b)) if a or b else 1.0
    return Difference(joined, unit, is_partial, similarity)
