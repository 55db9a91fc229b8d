"""Accuracy on items with a known answer."""

import pytest

from posttrain.preferences.quality.gold import gold_accuracy
from posttrain.preferences.quality.personal_ranking import PersonalRanking


def test_ties_count_half_and_pairs_that_the_answer_ties_are_not_asked():
    answers = {1: (0, 1, 1), 2: (0, 1)}
    rankings = [
        PersonalRanking(1, 7, (0, 0, 1)),  # first against second tied, first before third: 3/4
        PersonalRanking(2, 7, (1, 0)),  # wrong
        PersonalRanking(3, 7, (1, 0)),  # no gold item
        PersonalRanking(1, 8, (0, 2, 1)),  # right, and the answer does not order the rest
    ]
    found = gold_accuracy(rankings, answers)
    assert found[7].value == pytest.approx((3 / 4 + 0) / 2)
    assert found[7].num_items == 2
    assert found[8].value == 1.0
    assert found[8].interval[0] < 0.5  # one right item is no proof
    assert found[7].interval[0] <= found[7].value <= found[7].interval[1]


def test_an_answer_that_ties_everything_says_nothing():
    assert gold_accuracy([PersonalRanking(1, 7, (0, 1))], {1: (0, 0)}) == {}
    assert gold_accuracy([], {1: (0, 1)}) == {}


def test_guessing_is_a_half():
    rankings = [PersonalRanking(item, 0, ((0, 1, 2), (2, 1, 0))[item % 2]) for item in range(100)]
    found = gold_accuracy(rankings, dict.fromkeys(range(100), (0, 1, 2)))
    assert found[0].value == pytest.approx(0.5)
    assert found[0].interval[0] > 0.35
