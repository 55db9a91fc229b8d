from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.evaluation.intervals import (
    clustered_wilson_interval,
    paired_bootstrap_interval,
    pass_at_k,
    powers_of_two_up_to,
    standard_error,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (4, 1, 1, 1 / 4),
        (4, 1, 2, 1 / 2),  # 1 - C(3,2)/C(4,2) = 1 - 3/6
        (4, 2, 2, 5 / 6),  # 1 - C(2,2)/C(4,2) = 1 - 1/6
        (5, 2, 3, 9 / 10),  # 1 - C(3,3)/C(5,3) = 1 - 1/10
        (10, 3, 5, 11 / 12),  # 1 - C(7,5)/C(10,5) = 1 - 21/252
        (4, 0, 4, 0.0),
        (4, 3, 2, 1.0),
        (1, 1, 1, 1.0),
    ],
)
def test_pass_at_k_by_hand(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-15)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(float(Fraction(sum(map(any, draws)), len(draws))), abs=1e-14)


def test_pass_at_k_of_many_samples_neither_overflows_nor_loses_digits():
    exact = 1 - Fraction(math.comb(99_990, 1000), math.comb(100_000, 1000))
    assert pass_at_k(100_000, 10, 1000) == pytest.approx(float(exact), rel=1e-10)


def test_pass_at_k_refuses_what_it_cannot_know():
    with pytest.raises(ValueError, match="at least 5 samples"):
        pass_at_k(4, 1, 5)
    with pytest.raises(ValueError, match="num_correct"):
        pass_at_k(4, 5, 1)
    with pytest.raises(ValueError, match="at least 1 samples"):
        pass_at_k(4, 1, 0)


def test_the_k_of_pass_at_k():
    assert [powers_of_two_up_to(n) for n in (1, 2, 4, 6, 8)] == [
        (1,),
        (1, 2),
        (1, 2, 4),
        (1, 2, 4, 6),
        (1, 2, 4, 8),
    ]


def test_standard_error_by_hand():
    assert standard_error([1.0, 2.0, 3.0, 6.0]) == pytest.approx(math.sqrt(14 / 3 / 4))
    assert standard_error([1.0]) is None
    assert standard_error([0.1] * 3) == pytest.approx(0.0, abs=1e-15)


def test_wilson_interval_of_published_numbers():
    # 81 of 263: Newcombe (1998), table I, method 3: 0.2553 to 0.3662. And 0 of 20: 0.0000 to 0.1611.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1.0, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)


def test_samples_of_one_prompt_count_for_less_when_they_agree():
    independent = clustered_wilson_interval([0.0, 1.0] * 50, 100)
    agreeing = clustered_wilson_interval([0.0, 1.0] * 50, 800)
    balanced = clustered_wilson_interval([0.4, 0.6] * 50, 800)
    # 100 trials, but for the n - 1 of the standard error
    assert independent == pytest.approx(wilson_interval(0.5, 100), abs=1e-12)
    assert agreeing == pytest.approx(independent, abs=1e-3)
    assert balanced[1] - balanced[0] < (agreeing[1] - agreeing[0]) / 2
    assert clustered_wilson_interval([1.0] * 10, 80) == wilson_interval(1.0, 10)
    assert clustered_wilson_interval([0.5], 8) == wilson_interval(0.5, 1)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = random.Random(1)
    covered = 0
    for _ in range(400):
        skills = [rng.betavariate(0.6, 1.4) for _ in range(60)]  # mean 0.3, prompts differ a lot
        shares = [sum(rng.random() < skill for _ in range(4)) / 4 for skill in skills]
        low, high = clustered_wilson_interval(shares, 240)
        covered += low <= 0.3 <= high
    assert 0.91 <= covered / 400 <= 0.985


def test_the_bootstrap_is_seeded_and_agrees_with_the_standard_error():
    rng = random.Random(0)
    values = [rng.gauss(0.2, 1) for _ in range(200)]
    low, high = paired_bootstrap_interval(values, seed=3)
    assert (low, high) == paired_bootstrap_interval(values, seed=3)
    assert (low, high) != paired_bootstrap_interval(values, seed=4)
    error = standard_error(values)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert paired_bootstrap_interval([0.5] * 4, seed=0) == (0.5, 0.5)
