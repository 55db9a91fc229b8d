"""Ordinal alpha: published examples, the definition spelled out, what must not change it, and its interval."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.preferences.quality.simulated_people import simulated_rankings

from posttrain.preferences.quality.krippendorff import ordinal_alpha, rank_alpha, value_alpha
from posttrain.preferences.quality.personal_ranking import PersonalRanking

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example E: four observers, "." is missing.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def units_of(observers):
    columns = zip(*(line.split() for line in observers), strict=True)
    return [[int(value) for value in column if value != "."] for column in columns]


def alpha_from_the_definition(units):
    """Pair by pair, no matrix: observed and expected disagreement with the ordinal difference of every two values."""
    units = [list(unit) for unit in units if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    if len(set(pooled)) < 2:
        return None

    def difference(one, other):
        low, high = min(one, other), max(one, other)
        between = sum(low <= value <= high for value in pooled)
        ends = (pooled.count(low) + pooled.count(high)) / 2
        return (between - ends) ** 2

    observed = sum(
        difference(one, other) / (len(unit) - 1)
        for unit in units
        for one, other in itertools.permutations(unit, 2)
    ) / len(pooled)
    expected = sum(difference(one, other) for one, other in itertools.permutations(pooled, 2))
    return 1 - observed * len(pooled) * (len(pooled) - 1) / expected


def test_krippendorffs_example_with_missing_values():
    assert ordinal_alpha(units_of(OBSERVERS)) == pytest.approx(0.815, abs=5e-4)


def test_krippendorffs_binary_example():
    """Example A of the same paper; of two values all orders are one, so nominal and ordinal are the same."""
    meg, owen = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    assert ordinal_alpha(list(zip(meg, owen, strict=True))) == pytest.approx(0.095, abs=5e-4)


units = st.lists(st.lists(st.integers(0, 5), min_size=0, max_size=5), min_size=1, max_size=8)


@given(units)
def test_as_the_definition_says(units):
    expected = alpha_from_the_definition(units)
    found = ordinal_alpha(units)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, abs=1e-9)


@given(units, st.randoms())
def test_only_the_order_of_values_counts_and_who_gave_them_does_not(units, random):
    before = ordinal_alpha(units)
    moved = [[value**3 + 7 for value in unit] for unit in units]
    for unit in moved:
        random.shuffle(unit)
    random.shuffle(moved)
    assert ordinal_alpha(moved) == pytest.approx(before)


@pytest.mark.parametrize("units", [[], [[1]], [[1], [2]], [[3, 3], [3, 3]]])
def test_where_nothing_could_differ_there_is_no_alpha(units):
    assert ordinal_alpha(units) is None


def ranking(item, who, *ranks):
    return PersonalRanking(item, who, ranks)


def test_people_of_one_mind_have_alpha_one_and_of_no_mind_none():
    alike = [ranking(i, who, *([0, 1, 2] if i % 2 else [2, 0, 1])) for i in range(30) for who in range(3)]
    estimate = rank_alpha(alike)
    assert estimate is not None
    assert estimate.value == pytest.approx(1.0)
    assert estimate.interval is None  # nothing varies, so nothing is known of how sure it is
    rng = np.random.default_rng(3)
    random = [
        PersonalRanking(i, who, tuple(rng.permutation(4).tolist())) for i in range(2000) for who in (0, 1)
    ]
    assert rank_alpha(random).value == pytest.approx(0.0, abs=0.03)


def test_opposite_orders_of_two_are_below_chance():
    opposite = [ranking(i, who, who, 1 - who) for i in range(20) for who in (0, 1)]
    assert rank_alpha(opposite).value < -0.9


def test_items_ranked_once_and_single_responses_change_nothing():
    rng = np.random.default_rng(1)
    several = simulated_rankings(rng, num_items=40)
    alone = [ranking(1000 + i, 0, 0, 1, 2, 3) for i in range(50)] + [ranking(2000, who, 0) for who in (0, 1)]
    assert rank_alpha(several + alone) == rank_alpha(several)


def test_third_of_three_is_not_third_of_eight():
    """Items of each size are compared with each other only: alpha is the mean over sizes, weighted by places."""
    rng = np.random.default_rng(2)
    small = simulated_rankings(rng, num_items=60, sizes=(2,), noise=0.3)
    large = [
        r._replace(item_id=r.item_id + 1000)
        for r in simulated_rankings(rng, num_items=20, sizes=(8,), noise=2)
    ]
    small_alpha, large_alpha = rank_alpha(small).value, rank_alpha(large).value
    expected = (60 * 2 * small_alpha + 20 * 8 * large_alpha) / (60 * 2 + 20 * 8)
    assert rank_alpha(small + large).value == pytest.approx(expected)


def test_a_tie_does_not_shift_the_places_behind_it():
    """(0, 1, 1) and (0, 1, 2) differ about the last two alone; as raw ranks the best of all tied would be 'first'."""
    pairs = [ranking(i, 0, 0, 1, 1) for i in range(30)] + [ranking(i, 1, 0, 1, 2) for i in range(30)]
    by_place = rank_alpha(pairs).value
    slow = alpha_from_the_definition([[0, 0], [3, 2], [3, 4]] * 30)
    assert by_place == pytest.approx(slow)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_rank_alpha_is_the_alpha_of_places_response_by_response(seed):
    rng = np.random.default_rng(seed)
    rankings = simulated_rankings(rng, num_items=12, people_per_item=3, sizes=(3,), decimals=0)
    units = {}
    for own in rankings:
        for response, rank in enumerate(own.ranks):
            place = sum(r < rank for r in own.ranks) + (own.ranks.count(rank) - 1) / 2
            units.setdefault((own.item_id, response), []).append(place)
    estimate = rank_alpha(rankings)
    assert (estimate and estimate.value) == pytest.approx(ordinal_alpha(list(units.values())))


def test_grades_and_marks():
    alike = [(item, (1 + item % 5, None)) for item in range(20) for _ in range(2)] + [(99, (3, 4))]
    assert value_alpha(alike).value == pytest.approx(1.0)
    assert value_alpha(alike).num_items == 20
    assert value_alpha([]) is None
    assert value_alpha([(1, (3, None)), (1, (None, 4)), (2, (4, 1))]) is None  # no response got two values
    assert value_alpha([(1, (False, False))] * 2) is None  # nobody marks anything: nothing could differ
    differing = [(i, ((i * 7 + who * 3) % 5, who if i % 2 else None)) for i in range(20) for who in (0, 1)]
    units = [[(i * 7) % 5, (i * 7 + 3) % 5] for i in range(20)] + [[0, 1]] * 10
    assert value_alpha(differing).value == pytest.approx(alpha_from_the_definition(units))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    people = {"sizes": (2, 4), "noise": 1.0, "decimals": 1}
    truth = rank_alpha(simulated_rankings(rng, num_items=20_000, **people)).value
    intervals = [rank_alpha(simulated_rankings(rng, num_items=40, **people)).interval for _ in range(300)]
    coverage = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.91 <= coverage <= 0.985, coverage
