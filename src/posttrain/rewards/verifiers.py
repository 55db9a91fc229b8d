"""Plain functions that judge a completion by rule: `(completion, columns, **options) -> float`.

They see the response's text only, never the prompt, so an answer cannot be found in an echo of the question.
`verifier_reward` makes a `Reward` of one. Model text is never evaluated.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import regex

from posttrain.errors import ConfigError, DataError
from posttrain.rewards.arithmetic import evaluate
from posttrain.rewards.final_answer import MAX_SEGMENT_CHARS, after_thinking, final_answer
from posttrain.rewards.numbers import MAX_ANSWER_CHARS, plain, read_quantity, same_quantity

Columns = Mapping[str, Any]
Where = Literal["final", "last_number", "whole"]

_CHOICE = re.compile(r"\(?([A-J])\)?(?:[).:]?\s*$|[).:]\s.*)", re.DOTALL)
# A sign belongs to a number when nothing stands between them and no operand before it: "= -3", not "5 - 3".
_NUMBER = re.compile(r"(?<![0-9.,/])(?:(?<![0-9)] )(?<![0-9)])[-+])?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?")
_OPERAND = re.compile(r"[0-9)][ ]?[-+*/^][ ]?$")
_MAX_NUMBERS = 8
_FORMAT = re.compile(r"\s*<think>(?P<think>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def exact_answer(
    completion: str, columns: Columns, *, column: str = "answer", mode: Where = "final"
) -> float:
    """1.0 when the completion's one final answer is the expected one, else 0.0.

    `mode="final"`: the answer is marked (\\boxed{}, <answer>, ####, "the answer is") or stands in the last line.
    `mode="last_number"`: the last number in the completion is the answer, as in "3 + 4 equals 7." A number that is
    added or multiplied is no answer (an echo of "0 + 7"), and a completion of more than eight numbers only lists.
    `mode="whole"`: the trimmed completion must be the answer and nothing else ("Reply with only the number").
    Numbers are compared exactly (0.50 = 1/2, 1,000 = 1000, −3 is not 3); other text without regard to case.
    DataError when the column is missing.
    """
    expected = _expected(columns, column)
    if mode == "whole":
        if len(completion) > MAX_ANSWER_CHARS:
            return 0.0
        return float(same_answer(completion, expected, words=False))
    if mode == "last_number":
        return float(_last_number_is(completion, expected))
    found = final_answer(completion)
    if found is None:
        return 0.0
    text = found.text
    if "=" in text and "=" not in expected:
        text = text.rsplit("=", 1)[1]
    return float(
        same_answer(text, expected, words=found.marked_by != "tag" or len(text) <= MAX_SEGMENT_CHARS)
    )


def _last_number_is(completion: str, expected: str) -> bool:
    text = plain(completion) if len(completion) <= MAX_ANSWER_CHARS else ""
    numbers = list(_NUMBER.finditer(text))
    if not 0 < len(numbers) <= _MAX_NUMBERS or _OPERAND.search(text, 0, numbers[-1].start()):
        return False
    return same_answer(numbers[-1][0].rstrip(","), expected)


def same_answer(candidate: str, expected: str, *, words: bool = False) -> bool:
    """True when both texts state one answer; `words` lets other words stand around a number."""
    wanted = read_quantity(expected)
    if wanted is None and re.match(r"[-+$€£]?\s*[0-9]", expected):
        wanted = read_quantity(expected, words=True)
    if wanted is not None:
        given = read_quantity(candidate, words=words)
        return given is not None and same_quantity(given, wanted)
    if len(candidate) > MAX_ANSWER_CHARS:
        return False
    target, text = _folded(expected), _folded(candidate)
    if re.fullmatch(r"[A-J]", target.upper()) and (choice := _CHOICE.match(plain(candidate))):
        return choice[1] == target.upper()
    return bool(target) and text == target


def format_reward(completion: str, columns: Columns, *, think_prefilled: bool = False) -> float:
    """1.0 when the completion is `<think>...</think><answer>...</answer>` and nothing else, else 0.0.

    Each tag exactly once, in order, with something inside both. `think_prefilled=True` when the prompt ends in
    `<think>`, so that the completion begins inside it.
    """
    text = "<think>" + completion if think_prefilled else completion
    if any(text.count(tag) != 1 for tag in _TAGS):
        return 0.0
    match = _FORMAT.fullmatch(text)
    return float(match is not None and bool(match["think"].strip()) and bool(match["answer"].strip()))


def regular_expression(
    completion: str,
    columns: Columns,
    *,
    pattern: str,
    match: Literal["whole", "anywhere"] = "whole",
    time_limit_seconds: float = 0.05,
) -> float:
    """1.0 when the pattern matches the trimmed completion (or a part of it), else 0.0.

    TimeoutError when matching takes longer than the limit: the sample is unscored, not wrong.
    """
    compiled = compiled_pattern(pattern)
    text = completion.strip()
    method = compiled.fullmatch if match == "whole" else compiled.search
    try:
        return float(method(text, timeout=time_limit_seconds) is not None)
    except TimeoutError:
        raise TimeoutError(
            f"the pattern {pattern!r} took longer than {time_limit_seconds} s on a completion of {len(text)} "
            "characters (catastrophic backtracking); write it without nested repetition such as (a+)+"
        ) from None


def contains(
    completion: str,
    columns: Columns,
    *,
    text: str | None = None,
    column: str = "answer",
    ignore_case: bool = True,
) -> float:
    """1.0 when the text (or the column's value) stands in the completion as whole words, else 0.0.

    "1" is not in "21". A completion that lists everything contains everything: prefer `exact_answer`.
    """
    wanted = text if text is not None else _expected(columns, column)
    if not wanted.strip():
        raise DataError(
            "`contains` got an empty text, which every completion contains; give it a text to look for"
        )
    if ignore_case:
        wanted, completion = wanted.casefold(), completion.casefold()
    return float(re.search(rf"(?<!\w){re.escape(wanted.strip())}(?!\w)", completion) is not None)


def countdown(completion: str, columns: Columns) -> float:
    """1.0 when the completion's expression makes `target` from `numbers`, else 0.0.

    Columns: `numbers` (whole numbers), `target`, and `use_all` (default True): each number exactly once, or at
    most once. "(3 + 5) * 7 = 56" counts when both sides are right. The expression is the marked final answer, or
    the whole trimmed completion.
    """
    numbers = [int(number) for number in _required(columns, "numbers")]
    target = Fraction(_required(columns, "target"))
    text = _marked_or_whole(completion)
    left, *rest = text.split("=")
    if len(rest) > 1:
        return 0.0
    result = evaluate(left)
    if result is None or result.value != target:
        return 0.0
    if rest:
        right = read_quantity(rest[0])
        if right is None or right.value != target:
            return 0.0
    unused = list(numbers)
    for number in result.numbers:
        if number not in unused:
            return 0.0
        unused.remove(number)
    return float(not unused or not columns.get("use_all", True))


def sorting(completion: str, columns: Columns) -> float:
    """1.0 when the completion is the column `numbers` sorted (`descending` where that column is True), else 0.0."""
    numbers = [int(number) for number in _required(columns, "numbers")]
    text = plain(_marked_or_whole(completion)).strip("[]() \n")
    parts = re.split(r"\s*[,;<>]\s*|\s+", text) if len(text) <= MAX_ANSWER_CHARS else []
    if not all(re.fullmatch(r"[-+]?[0-9]{1,20}", part) for part in parts):
        return 0.0
    return float(
        [int(part) for part in parts] == sorted(numbers, reverse=bool(columns.get("descending", False)))
    )


@lru_cache(maxsize=64)
def compiled_pattern(pattern: str) -> regex.Pattern[str]:
    """The compiled pattern; ConfigError, with the place, where it is not a regular expression."""
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ConfigError(f"the regular expression {pattern!r} is malformed: {error}") from error


def _marked_or_whole(completion: str) -> str:
    found = final_answer(completion)
    if found is not None and found.marked_by != "last_line":
        return found.text
    text = (after_thinking(completion) or "").strip()
    return text if len(text) <= MAX_ANSWER_CHARS else ""


def _required(columns: Columns, column: str) -> Any:
    value = columns.get(column)
    if value is None:
        near = difflib.get_close_matches(column, columns, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"the verifier needs the column {column!r}, which the prompt does not have (its columns: "
            f"{', '.join(sorted(columns)) or 'none'}){hint} Add the column to the data or name another one."
        )
    return value


def _expected(columns: Columns, column: str) -> str:
    """The expected answer as text; what follows `####` or stands in a box where the data set keeps a solution."""
    text = str(_required(columns, column)).strip()
    if "####" in text or "\\boxed" in text:
        found = final_answer(text)
        if found is not None:
            return found.text.strip()
    if not text:
        raise DataError(f"the column {column!r} is empty, so no completion could be right; fill it in")
    return text


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", plain(text)).casefold()
