"""Bradley-Terry strengths: choix as oracle, closed forms, one prompt weighing 1, separated checkpoints, coverage."""

import itertools
import math

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.preferences.quality.simulated_people import dense_ranks

from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.quality.strengths import (
    PRIOR_TIES,
    compare_checkpoints,
    fit_strengths,
    is_strongly_connected,
    strengths,
)


def drawn_rankings(rng, truth, *, num_items, size=None, people=1, decimals=6):
    """Prompts answered by `size` of the checkpoints; a person's order follows Bradley-Terry (Gumbel noise)."""
    names = sorted(truth)
    rankings, checkpoints_of = [], {}
    for item in range(num_items):
        chosen = rng.choice(names, size or len(names), replace=False).tolist()
        checkpoints_of[item] = tuple(chosen)
        for who in range(people):
            scores = [round(truth[name] + rng.gumbel(), decimals) for name in chosen]
            rankings.append(PersonalRanking(item, who, dense_ranks(scores)))
    return rankings, checkpoints_of


def test_choix_finds_the_same_strengths_with_ties_as_half_wins():
    rng = np.random.default_rng(0)
    truth = {"a": 0.0, "b": 0.5, "c": 1.0, "d": -0.7}
    rankings, checkpoints_of = drawn_rankings(rng, truth, num_items=150, decimals=0)
    # Two copies of every win, and of a tie one each way: ties are half wins. Every prompt has six pairs here.
    games = []
    for ranking in rankings:
        places = [sorted(truth).index(name) for name in checkpoints_of[ranking.item_id]]
        for i, j in itertools.combinations(range(4), 2):
            if ranking.ranks[i] <= ranking.ranks[j]:
                games.append((places[i], places[j]))
            if ranking.ranks[j] <= ranking.ranks[i]:
                games.append((places[j], places[i]))
            if ranking.ranks[i] != ranking.ranks[j]:
                games.append(games[-1])
    assert any(len(set(r.ranks)) < 4 for r in rankings)
    expected = choix.opt_pairwise(4, games, tol=1e-10)
    wins = compare_checkpoints(rankings, checkpoints_of).wins.sum(axis=0)
    assert fit_strengths(wins) == pytest.approx(expected - expected.mean(), abs=1e-5)


def test_two_checkpoints_have_a_closed_form():
    """The log-odds of 30 wins to 10; with a prior of ties at the mean, the slope is zero where it must be."""
    wins = np.array([[0.0, 30.0], [10.0, 0.0]])
    assert fit_strengths(wins) == pytest.approx([math.log(3) / 2, -math.log(3) / 2])
    s = fit_strengths(wins, prior_ties=1.0)[0]
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    assert 30 - 40 * sigmoid(2 * s) + 0.5 - sigmoid(s) == pytest.approx(0, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_the_slope_is_zero_and_shuffling_names_shuffles_strengths(num, seed):
    rng = np.random.default_rng(seed)
    wins = rng.integers(0, 4, (num, num)).astype(float)
    np.fill_diagonal(wins, 0)
    values = fit_strengths(wins, prior_ties=1.0)
    order = rng.permutation(num)
    assert fit_strengths(wins[np.ix_(order, order)], prior_ties=1.0) == pytest.approx(values[order], abs=1e-6)
    assert fit_strengths(wins.T, prior_ties=1.0) == pytest.approx(-values, abs=1e-6)
    assert values.mean() == pytest.approx(0, abs=1e-9)


def test_strongly_connected():
    assert is_strongly_connected(np.array([[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]]))
    never_lost = np.array([[0, 5.0], [0, 0]])
    assert not is_strongly_connected(never_lost)
    with pytest.raises(ValueError, match="infinite"):
        fit_strengths(never_lost)
    ring = np.roll(np.eye(9), 1, axis=1)
    assert is_strongly_connected(ring)
    ring[8, 0] = 0
    assert not is_strongly_connected(ring)


def test_one_prompt_weighs_one():
    """However many people judge it and however many pairs of checkpoints it has."""
    checkpoints_of = {1: ("new", "old"), 2: ("new", "old", "old", "old", "new")}
    once = [PersonalRanking(1, 0, (0, 1)), PersonalRanking(2, 0, (0, 1, 1, 1, 0))]
    crowd = [r._replace(annotator_id=who) for r in once for who in range(5)]
    for rankings in (once, crowd):
        wins = compare_checkpoints(rankings, checkpoints_of).wins.sum(axis=0)
        assert wins == pytest.approx(np.array([[0, 2.0], [0, 0]]))
    split = [*once, PersonalRanking(1, 9, (1, 0))]
    assert compare_checkpoints(split, checkpoints_of).wins.sum(axis=0) == pytest.approx(
        np.array([[0, 1.5], [0.5, 0]])
    )


def test_what_does_not_compare_two_known_checkpoints_is_left_out():
    checkpoints_of = {1: ("a", "a"), 2: ("", "b"), 3: ("a", "", "b"), 4: ()}
    rankings = [
        PersonalRanking(item, 0, (0, 1, 2)[: len(checkpoints_of[item]) or 2]) for item in checkpoints_of
    ]
    rankings.append(PersonalRanking(5, 0, (0, 1)))
    compared = compare_checkpoints(rankings, checkpoints_of)
    assert compared.checkpoints == ("a", "b")
    assert compared.wins.sum(axis=0) == pytest.approx(np.array([[0, 1.0], [0, 0]]))
    assert compared.num_prompts.tolist() == [[1, 1], [1, 1]]
    nothing = compare_checkpoints(rankings[:2], checkpoints_of)
    assert nothing.checkpoints == ()
    assert strengths(nothing) == []


def test_a_checkpoint_that_always_won_is_finite_and_its_interval_is_not_a_point():
    checkpoints_of = dict.fromkeys(range(30), ("new", "old"))
    rankings = [PersonalRanking(item, 0, (0, 1)) for item in range(30)]
    best, worst = strengths(compare_checkpoints(rankings, checkpoints_of))
    assert (best.checkpoint, worst.checkpoint) == ("new", "old")
    assert best.share_preferred == 1.0
    assert best.num_prompts == 30
    assert 1 < best.value < 4
    assert 0 < best.interval[0] < best.value - 0.3


def test_people_who_agree_on_a_prompt_do_not_make_it_surer():
    rng = np.random.default_rng(2)
    rankings, checkpoints_of = drawn_rankings(rng, {"a": 0.0, "b": 0.6}, num_items=60)
    crowd = [r._replace(annotator_id=who) for r in rankings for who in range(6)]
    alone, together = (strengths(compare_checkpoints(r, checkpoints_of)) for r in (rankings, crowd))
    assert [s.interval for s in alone] == [pytest.approx(s.interval) for s in together]


def test_the_prior_moves_a_strength_by_less_than_a_tenth_of_its_interval():
    rng = np.random.default_rng(3)
    rankings, checkpoints_of = drawn_rankings(rng, {"a": 0.0, "b": 1.0}, num_items=50)
    compared = compare_checkpoints(rankings, checkpoints_of)
    with_prior, without = (strengths(compared, prior_ties=prior)[0] for prior in (PRIOR_TIES, 0.0))
    assert abs(with_prior.value - without.value) < 0.1 * (without.interval[1] - without.interval[0])


def test_the_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(12)
    truth = {"a": 0.0, "b": 0.4, "c": 0.8, "d": -0.6}
    centre = np.mean(list(truth.values()))
    held = []
    for _ in range(300):
        drawn = drawn_rankings(rng, truth, num_items=60, size=3, people=2)
        held += [
            s.interval[0] <= truth[s.checkpoint] - centre <= s.interval[1]
            for s in strengths(compare_checkpoints(*drawn))
        ]
    assert 0.92 <= np.mean(held) <= 0.98, np.mean(held)
