"""`exact_answer` with mode "last_number": what small models answer to sums."""

from __future__ import annotations

import time

import pytest

from posttrain.rewards.verifiers import exact_answer


@pytest.mark.parametrize(
    ("completion", "answer", "verdict"),
    [
        ("7", "7", 1),
        ("3 + 4 equals 7.", "7", 1),
        ("3 + 4 = 7", "7", 1),
        ("The answer is **7**!", "7", 1),
        ("7 is 3 + 4", "7", 0),
        ("The answer is 7, because 3", "7", 0),
        ("It is 17", "7", 0),
        ("It is 71", "7", 0),
        ("It is 7.5", "7", 0),
        ("It is 7.0", "7", 1),
        ("3 - 10 = -7", "7", 0),
        ("3 - 10 = -7", "-7", 1),
        ("3 - 10 = −7", "-7", 1),
        ("10 - 7", "7", 0),
        ("10 - 7", "-7", 0),
        ("10 -7", "7", 0),
        ("0 + 7", "7", 0),
        ("What is 0 + 7? Reply with only the number.", "7", 0),
        ("What is 0 * 0? Reply with only the number.", "0", 0),
        ("1 × 7", "7", 0),
        ("0 + 7 = 7", "7", 1),
        ("(0 + 7) is 7", "7", 1),
        ("(-7)", "-7", 1),
        ("it makes 1,234", "1234", 1),
        ("half is 0.50", "1/2", 1),
        ("half is 1/2", "0.5", 1),
        ("seven", "7", 0),
        ("", "7", 0),
        (" ".join(map(str, range(1000))), "999", 0),
        ("1 2 3 4 5 6 7 8 9", "9", 0),
        ("9" * 10**6, "9", 0),
        ("-" * 10**6, "9", 0),
    ],
)
def test_last_number(completion, answer, verdict):
    started_at = time.process_time()
    assert exact_answer(completion, {"answer": answer}, mode="last_number") == verdict
    assert time.process_time() - started_at < 1
