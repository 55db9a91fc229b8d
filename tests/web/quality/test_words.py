"""Numbers as the page says them."""

import math

import pytest

from posttrain.web.quality import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (75, "1 min 15 s"),
        (120, "2 min"),
        (1830, "30 min"),
        (7199, "119 min"),
        (90_000, "25 h"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_points_are_those_of_chess():
    assert words.points(math.log(10)) == "+400"
    assert words.points(-0.5) == "−87"
    assert words.points(-0.0001) == "0"
    assert words.POINTS_PER_LOGIT * math.log(0.64 / 0.36) == pytest.approx(100, abs=0.5)


def test_coefficients_and_shares():
    assert words.decimal(-0.001) == "0.00"
    assert words.decimal(-0.126) == "−0.13"
    assert words.decimal_range((-0.1, 0.2)) == "−0.10 to 0.20"
    assert words.decimal_range(None) == words.percent_range(None) == ""
    assert words.percent(0.734) == "73\xa0%"
    assert words.percent_range((0.5, 1.0)) == "50 to 100\xa0%"


def test_counts_and_p_values():
    assert words.count(1, "item") == "1 item"
    assert words.count(1200, "item") == "1,200 items"
    assert [words.p_value(p) for p in (1e-9, 0.0042, 0.31)] == ["p < 0.001", "p = 0.004", "p = 0.31"]
