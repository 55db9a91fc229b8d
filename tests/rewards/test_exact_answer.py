from __future__ import annotations

import time

import pytest
from tests.rewards.answer_table import FINAL, WHOLE

from posttrain.errors import DataError
from posttrain.rewards.verifiers import exact_answer


@pytest.mark.parametrize(("completion", "answer", "verdict"), FINAL)
def test_final_answer(completion: str, answer: str, verdict: int) -> None:
    assert exact_answer(completion, {"answer": answer}) == verdict


@pytest.mark.parametrize(("completion", "answer", "verdict"), WHOLE)
def test_whole_answer(completion: str, answer: str, verdict: int) -> None:
    assert exact_answer(completion, {"answer": answer}, mode="whole") == verdict


def test_the_table_is_large_enough() -> None:
    assert len(FINAL) + len(WHOLE) >= 100


LISTINGS = {
    "lines": "\n".join(map(str, range(1000))),
    "commas": ", ".join(map(str, range(1000))),
    "spaces": " ".join(map(str, range(1000))),
    "sentences": ". ".join(map(str, range(1000))) + ".",
    "boxes": " ".join(f"\\boxed{{{n}}}" for n in range(1000)),
    "tags": "".join(f"<answer>{n}</answer>" for n in range(1000)),
    "phrases": "\n".join(f"The answer is {n}." for n in range(1000)),
    "phrases in one line": " ".join(f"The answer is {n}." for n in range(1000)),
    "hashes": "\n".join(f"#### {n}" for n in range(1000)),
    "one box": "\\boxed{" + ", ".join(map(str, range(1000))) + "}",
}


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("answer", ["0", "7", "500", "999"])
@pytest.mark.parametrize("mode", ["final", "whole"])
def test_a_listing_scores_nothing(listing: str, answer: str, mode: str) -> None:
    assert exact_answer(LISTINGS[listing], {"answer": answer}, mode=mode) == 0.0  # type: ignore[arg-type]


HOSTILE = {
    "megabyte of digits": "7" * 1_000_000,
    "4300 digits": "7" * 4301,
    "1900 digits": "7" * 1900,
    "megabyte in a box": "\\boxed{" + "7" * 1_000_000 + "}",
    "parentheses": "(" * 10_000 + "7" + ")" * 10_000,
    "braces": "\\boxed" + "{" * 10_000 + "7" + "}" * 10_000,
    "many open boxes": "\\boxed{" * 100_000,
    "fractions": "\\frac{" * 300,
    "answers": "answer " * 100_000,
    "answer is": "the answer is " * 50_000,
    "commas": "1," * 900,
    "thousands": "1,111" * 300,
    "dollars": "$" * 1900,
    "tags": "<answer>" * 100_000,
    "thinks": "<think>" * 100_000 + "</think>" * 100_000,
    "minus": "-" * 1900 + "7",
    "points": "1." * 900,
    "slashes": "1/" * 900,
    "spaces": "7" + " " * 1_000_000 + "8",
    "power": "1e9999",
    "tower": "9^9^9^9",
    "lines": "7 apples\n" * 100_000 + "8",
    "backslashes": "\\" * 1900,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", ["final", "whole"])
def test_hostile_text_is_refused_fast(name: str, mode: str) -> None:
    started = time.process_time()
    assert exact_answer(HOSTILE[name], {"answer": "7"}, mode=mode) == 0.0  # type: ignore[arg-type]
    assert time.process_time() - started < 1.0


def test_a_missing_column_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"needs the column 'answer'.*did you mean 'anwser'"):
        exact_answer("7", {"anwser": "7"})


def test_numbers_may_be_numbers() -> None:
    assert exact_answer("7", {"answer": 7}) == 1.0
    assert exact_answer("0", {"answer": 0}) == 1.0
    assert exact_answer("0.5", {"answer": 0.5}) == 1.0


@pytest.mark.parametrize(
    "text", ["\x007\x00", "7\ud800", "\ufeff7", "\u202e7", "{", "\\", "\\frac{}{}", "$", "<answer>"]
)
def test_odd_text_never_raises(text: str) -> None:
    for mode in ("final", "whole"):
        assert exact_answer(text, {"answer": "7"}, mode=mode) in (0.0, 1.0)  # type: ignore[arg-type]
