"""Which items people differ about, and how far."""

import itertools

import numpy as np
import pytest
from tests.preferences.quality.simulated_people import simulated_rankings

from posttrain.preferences.quality.disagreements import WORTH_SETTLING, Disagreement, disagreements
from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.quality.rank_agreement import shared_rankings


def found(rankings, cannot_rank=()):
    return {own.item_id: own for own in disagreements(rankings, shared_rankings(rankings), cannot_rank)}


def test_worked_examples():
    rankings = [
        *(PersonalRanking(1, who, ranks) for who, ranks in enumerate([(0, 1, 2), (2, 1, 0)])),  # opposite: 1
        *(PersonalRanking(2, who, ranks) for who, ranks in enumerate([(0, 1), (0, 1)])),  # alike: 0
        *(PersonalRanking(3, who, ranks) for who, ranks in enumerate([(0, 1), (0, 0)])),  # one tied: 1/2
        *(
            PersonalRanking(4, who, ranks) for who, ranks in enumerate([(0, 1), (0, 1), (1, 0)])
        ),  # 2 of 3 pairs
        PersonalRanking(5, 0, (0, 1)),  # and one who could not rank it: 1/2
        PersonalRanking(6, 0, (0, 1)),  # alone
    ]
    own = found(rankings, [5, 7, 7, 8])
    assert own == {
        1: Disagreement(1, 1.0, 2, 0),
        4: Disagreement(4, pytest.approx(2 / 3), 3, 0),
        3: Disagreement(3, 0.5, 2, 0),
        5: Disagreement(5, 0.5, 2, 1),
        2: Disagreement(2, 0.0, 2, 0),
        7: Disagreement(7, 0.0, 2, 2),  # both could not
    }
    assert list(own) == [1, 4, 3, 5, 2, 7]


def test_as_counted_by_hand_over_people_and_pairs():
    rankings = simulated_rankings(
        np.random.default_rng(4), num_items=30, people_per_item=4, sizes=(2, 3, 5), decimals=0
    )
    cannot = [3, 3, 8]
    own = found(rankings, cannot)
    for item in range(30):
        people = [r.ranks for r in rankings if r.item_id == item] + [None] * cannot.count(item)
        scores = []
        for one, other in itertools.combinations(people, 2):
            if one is None or other is None:
                scores.append(0.0 if one is other else 0.5)
                continue
            pairs = list(itertools.combinations(range(len(one)), 2))
            scores.append(
                sum(abs(np.sign(one[i] - one[j]) - np.sign(other[i] - other[j])) / 2 for i, j in pairs)
                / len(pairs)
            )
        assert own[item].score == pytest.approx(np.mean(scores)), item
        assert own[item].num_people == len(people)


def test_people_who_order_at_random_reach_the_threshold_on_average():
    rng = np.random.default_rng(9)
    rankings = [
        PersonalRanking(i, who, tuple(rng.permutation(4).tolist())) for i in range(3000) for who in (0, 1)
    ]
    assert np.mean([own.score for own in found(rankings).values()]) == pytest.approx(WORTH_SETTLING, abs=0.02)
