"""Agreement of pairs and tau-b: scipy's tau-b, pairs counted one by one, ties, and intervals."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau
from tests.preferences.quality.simulated_people import dense_ranks, simulated_rankings

from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.quality.rank_agreement import (
    agreement_of_two,
    agreement_with_others,
    kendall_tau_b,
    overall_agreement,
    overall_tau_b,
    shared_rankings,
)

two_rankings = st.integers(2, 8).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, size), min_size=size, max_size=size)] * 2)
)


@given(two_rankings)
def test_tau_b_is_scipys(two):
    one, other = (dense_ranks([-score for score in scores]) for scores in two)
    expected = (
        kendalltau(one, other, variant="b").statistic if len(set(one)) > 1 < len(set(other)) else math.nan
    )
    found = kendall_tau_b(one, other)
    assert found is None if math.isnan(expected) else found == pytest.approx(expected)


@given(two_rankings)
def test_turning_one_order_round_turns_tau_b(two):
    one, other = (dense_ranks(scores) for scores in two)
    before, after = kendall_tau_b(one, other), kendall_tau_b(one, [max(other) - rank for rank in other])
    assert (before is None) == (after is None)
    if before is not None:
        assert after == pytest.approx(-before)
        assert -1 - 1e-9 <= before <= 1 + 1e-9
        assert before == pytest.approx(kendall_tau_b(other, one))


def counted_one_by_one(rankings):
    """(item, lower annotator, higher one) -> same, opposite, first only, second only."""
    found = {}
    for one, other in itertools.combinations(sorted(rankings, key=lambda r: r.annotator_id), 2):
        if one.item_id != other.item_id or len(one.ranks) < 2:
            continue
        counts = defaultdict(int)
        for i, j in itertools.combinations(range(len(one.ranks)), 2):
            a, b = np.sign(one.ranks[i] - one.ranks[j]), np.sign(other.ranks[i] - other.ranks[j])
            counts[
                "same" if a and a == b else "opposite" if a and b else "first" if a else "second" if b else ""
            ] += 1
        found[one.item_id, one.annotator_id, other.annotator_id] = tuple(
            counts[name] for name in ("same", "opposite", "first", "second")
        )
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_pairs_are_counted_as_one_would_by_hand(seed):
    rng = np.random.default_rng(seed)
    rankings = simulated_rankings(
        rng, num_items=8, people_per_item=3, num_people=4, sizes=(2, 3, 5), decimals=0
    )
    rng.shuffle(rankings)
    rankings = [PersonalRanking(*r) for r in rankings]
    shared = shared_rankings(rankings)
    found = {
        (i, a, b): (same, opposite, first, second)
        for i, a, b, _, same, opposite, first, second in zip(*(c.tolist() for c in shared), strict=True)
    }
    assert found == counted_one_by_one(rankings)


def test_without_ties_tau_b_is_twice_agreement_less_one():
    rankings = simulated_rankings(np.random.default_rng(0), num_items=80, sizes=(2, 3, 6))
    shared = shared_rankings(rankings)
    agreement, tau = overall_agreement(shared), overall_tau_b(shared)
    assert tau.value == pytest.approx(2 * agreement.value - 1)
    assert tau.interval[0] < tau.value < tau.interval[1]


def test_who_ties_everything_is_held_against_by_tau_b_and_left_out_of_agreement():
    ordered = [PersonalRanking(item, 0, (0, 1, 2)) for item in range(20)]
    alike = [PersonalRanking(item, 1, (0, 1, 2)) for item in range(10)]
    tied = [PersonalRanking(item, 1, (0, 0, 0)) for item in range(10, 20)]
    shared = shared_rankings(ordered + alike + tied)
    assert overall_agreement(shared).value == 1.0
    assert overall_agreement(shared).num_items == 10
    two = agreement_of_two(shared, [0, 1])[0, 1]
    assert two.tau_b == pytest.approx(10 / math.sqrt(20 * 10))
    assert two.num_items == 20
    only_ties = agreement_of_two(shared_rankings(ordered[10:] + tied), [0, 1])[0, 1]
    assert only_ties.tau_b is None
    assert only_ties.pairs is None


def test_each_item_weighs_one_however_many_judged_it():
    """Eight people of one mind on one item do not drown three items on which two people are opposite."""
    crowd = [PersonalRanking(0, who, (0, 1)) for who in range(8)]
    opposite = [PersonalRanking(item, who, (who, 1 - who)) for item in (1, 2, 3) for who in (0, 1)]
    shared = shared_rankings(crowd + opposite)
    assert overall_agreement(shared).value == pytest.approx(1 / 4)
    assert overall_tau_b(shared).value == pytest.approx((1 - 3) / 4)


def test_with_others_takes_all_others_of_an_item_together():
    rankings = [PersonalRanking(0, 1, (0, 1)), PersonalRanking(0, 2, (0, 1)), PersonalRanking(0, 3, (1, 0))]
    shared = shared_rankings(rankings)
    agreement = agreement_with_others(shared)
    assert {who: own.pairs.value for who, own in agreement.items()} == {1: 0.5, 2: 0.5, 3: 0.0}
    assert agreement_of_two(shared, [1, 3]).keys() == {(1, 3)}


def test_nobody_shares_anything():
    shared = shared_rankings(
        [PersonalRanking(0, 1, (0, 1)), PersonalRanking(1, 2, (0, 1)), PersonalRanking(2, 1, (0,))]
    )
    assert overall_agreement(shared) is None
    assert overall_tau_b(shared) is None
    assert agreement_with_others(shared) == {}
    assert agreement_of_two(shared, [1, 2]) == {}


def test_the_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    people = {"sizes": (2, 4), "noise": 1.0, "decimals": 0, "people_per_item": 3}
    shared = shared_rankings(simulated_rankings(rng, num_items=20_000, **people))
    true_agreement, true_tau = overall_agreement(shared).value, overall_tau_b(shared).value
    held = []
    for _ in range(300):
        shared = shared_rankings(simulated_rankings(rng, num_items=40, **people))
        agreement, tau = overall_agreement(shared).interval, overall_tau_b(shared).interval
        held.append((agreement[0] <= true_agreement <= agreement[1], tau[0] <= true_tau <= tau[1]))
    coverage = np.mean(held, axis=0)
    assert ((coverage >= 0.91) & (coverage <= 0.985)).all(), coverage
