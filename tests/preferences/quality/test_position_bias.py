"""The test of place against rank: exact by enumeration, right as often as it says, and it finds a real bias."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, spearmanr
from tests.preferences.quality.simulated_people import dense_ranks, simulated_rankings

from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.quality.position_bias import (
    best_by_place,
    position_bias,
    position_bias_of_each,
    ranks_by_place,
)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=5))
def test_mean_and_variance_over_all_orders_of_the_cards(scores):
    """The z of one ranking, over every order its cards could have had, has mean 0 and variance 1."""
    ranks = dense_ranks(scores)
    tests = [
        position_bias(ranks_by_place([PersonalRanking(0, 0, ranks, order)]))
        for order in itertools.permutations(range(len(ranks)))
    ]
    if len(set(ranks)) == 1:
        assert tests == [None] * len(tests)
        return
    z = [test.z for test in tests]
    assert np.mean(z) == pytest.approx(0, abs=1e-9)
    assert np.mean(np.square(z)) == pytest.approx(1)


def test_the_correlation_is_spearmans_of_place_and_rank():
    ranks, order = (0, 2, 1, 1, 3), (3, 0, 4, 2, 1)
    found = position_bias(ranks_by_place([PersonalRanking(0, 0, ranks, order)]))
    assert found.correlation == pytest.approx(spearmanr(range(5), [ranks[i] for i in order]).statistic)
    assert found.p_value == pytest.approx(math.erfc(abs(found.z) / math.sqrt(2)))


def test_without_a_bias_p_values_are_even():
    rng = np.random.default_rng(5)
    p_values = [
        position_bias(
            ranks_by_place(simulated_rankings(rng, num_items=40, sizes=(2, 3, 5), decimals=0))
        ).p_value
        for _ in range(300)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) < 0.05) < 0.09


def test_a_pull_to_the_first_card_is_found_and_points_the_right_way():
    rng = np.random.default_rng(6)
    found = position_bias(ranks_by_place(simulated_rankings(rng, num_items=300, position_pull=0.3)))
    assert found.p_value < 1e-6
    assert found.correlation > 0
    assert found.first_before_last.interval[0] > 0.5
    best = best_by_place(ranks_by_place(simulated_rankings(rng, num_items=300, position_pull=0.3)))[4]
    assert best.shares[0] > 0.3 > 0.2 > best.shares[3]
    assert sum(best.shares) == pytest.approx(1)


def test_rankings_without_a_known_order_or_without_an_order_are_left_out():
    unknown = PersonalRanking(0, 0, (0, 1), ())
    tied = PersonalRanking(1, 0, (0, 0), (1, 0))
    assert position_bias(ranks_by_place([unknown, tied])) is None
    assert best_by_place(ranks_by_place([unknown, tied])) == {}
    told = position_bias(ranks_by_place([unknown, tied, PersonalRanking(2, 0, (0, 1), (1, 0))]))
    assert told.num_rankings == 1
    assert told.first_before_last.value == 0.0


def test_ties_share_the_best_place():
    best = best_by_place(
        ranks_by_place(
            [PersonalRanking(0, 0, (0, 0, 1), (2, 0, 1)), PersonalRanking(1, 0, (0, 1, 1), (0, 1, 2))]
        )
    )
    assert best[3].shares == pytest.approx((0.5, 0.25, 0.25))
    assert best[3].num_rankings == 2


def test_each_persons_p_value_pays_for_the_number_of_people():
    rng = np.random.default_rng(8)
    rankings = simulated_rankings(rng, num_items=200, num_people=10)
    adjusted = position_bias_of_each(ranks_by_place(rankings))
    alone = {
        who: position_bias(ranks_by_place([r for r in rankings if r.annotator_id == who]))
        for who in range(10)
    }
    order = sorted(alone, key=lambda who: alone[who].p_value)
    assert adjusted[order[0]].p_value == pytest.approx(min(1, 10 * alone[order[0]].p_value))
    assert adjusted[order[1]].p_value >= adjusted[order[0]].p_value
    assert adjusted[order[0]].z == alone[order[0]].z
