"""Held-out numbers of a reward model against slow twins, and on cases whose answer is known."""

from __future__ import annotations

import math
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.errors import DataError, InvariantError
from posttrain.evaluation.preference_quality import (
    ScoredRanking,
    calibration_bins,
    correlation,
    margin_histogram,
    measure_preferences,
    ordered_pairs,
)


def pair(
    margin: float, prompt: str = "p", lengths: tuple[int, int] = (3, 5), annotator: str = ""
) -> ScoredRanking:
    return ScoredRanking(prompt, (0, 1), (margin, 0.0), lengths, annotator)


def test_a_ranking_of_four_with_a_tie_has_five_pairs():
    ranking = ScoredRanking("p", (1, 0, 1, 2), (0.0, 3.0, 1.0, -1.0), (4, 5, 6, 7))
    assert sorted(p.margin for p in ordered_pairs(ranking)) == [1.0, 2.0, 2.0, 3.0, 4.0]


def test_each_prompt_weighs_one():
    """A prompt of many pairs, all right, beside one pair that is wrong."""
    many = ScoredRanking("a", (0, 1, 2, 3), (4.0, 3.0, 2.0, 1.0), (1, 2, 3, 4))
    found = measure_preferences([many, pair(-1.0, "b")])
    assert found["accuracy"] == 0.5
    assert found["num_pairs"] == 7
    # Two people's rankings of one prompt are together one prompt.
    assert measure_preferences([pair(1.0), pair(1.0), pair(-1.0, "b")])["accuracy"] == 0.5


def test_equal_scores_are_no_win():
    found = measure_preferences([pair(0.0), pair(1.0, "b")])
    assert found["accuracy"] == 0.5
    assert found["margin_counts"][9] == 1  # just below 0


def test_loss_and_brier_by_hand():
    margins = [0.3, -1.2, 2.0]
    found = measure_preferences([pair(margin, f"p{i}") for i, margin in enumerate(margins)])
    chances = [1 / (1 + math.exp(-margin)) for margin in margins]
    assert found["loss"] == pytest.approx(-sum(map(math.log, chances)) / 3)
    assert found["brier"] == pytest.approx(sum((1 - chance) ** 2 for chance in chances) / 3)
    far = measure_preferences([pair(-1e4), pair(1e4, "b")])
    assert far["loss"] == pytest.approx(5e3)


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=60), st.integers(1, 15))
def test_calibration_bins_are_the_slow_ones(margins, num_bins):
    found = calibration_bins(margins, num_bins)
    assert sum(b.num_pairs for b in found) == len(margins)
    chances = numpy.array([1 / (1 + math.exp(-abs(m))) for m in margins])
    wins = numpy.array([0.5 if m == 0 else float(m > 0) for m in margins])
    places = numpy.minimum(((chances - 0.5) * 2 * num_bins).astype(int), num_bins - 1)
    expected = [
        ((places == b).sum(), chances[places == b].mean(), wins[places == b].mean())
        for b in sorted(set(places))
    ]
    numpy.testing.assert_allclose([list(b) for b in found], expected, atol=1e-12)


def test_a_calibrated_model_has_no_calibration_error_and_a_sure_one_has():
    rng = random.Random(0)
    calibrated, sure = [], []
    for index in range(6000):
        size = rng.uniform(0, 3)
        margin = size if rng.random() < 1 / (1 + math.exp(-size)) else -size
        calibrated.append(pair(margin, f"p{index}"))
        sure.append(pair(4 * margin, f"p{index}"))
    assert measure_preferences(calibrated)["calibration_error"] < 0.02
    assert measure_preferences(sure)["calibration_error"] > 0.1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
def test_margin_histogram_counts_every_pair_once_and_on_its_side(margins):
    edges, counts = margin_histogram(margins, 20)
    assert len(edges) == 21
    assert edges[10] == 0.0
    assert sum(counts) == len(margins)
    assert sum(counts[10:]) == sum(margin > 0 for margin in margins)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=40))
def test_correlation_is_numpys(points):
    one, other = map(list, zip(*points, strict=True))
    found = correlation(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(numpy.corrcoef(one, other)[0, 1], abs=1e-9)


def test_length_is_seen():
    """A score that grows with the length, but not linearly: Spearman is 1, Pearson below."""
    rankings = [
        ScoredRanking(f"p{i}", (0, 1), (math.exp(i), math.exp(i) / 9), (4 * i + 4, 4 * i + 1))
        for i in range(9)
    ]
    found = measure_preferences(rankings)
    assert found["length_pearson"] < 0.95
    assert found["favours_longer"] == found["people_favour_longer"] == 1.0
    ranks = measure_preferences([ScoredRanking("p", (0, 1, 2), (9.0, 4.0, 1.0), (30, 20, 10))])
    assert ranks["length_spearman"] == pytest.approx(1.0)


def test_annotators_apart():
    found = measure_preferences([pair(1.0, "a", annotator="anna"), pair(-1.0, "b", annotator="ben")])
    assert found["accuracy_by_annotator"] == {"anna": 1.0, "ben": 0.0}
    assert "accuracy_by_annotator" not in measure_preferences([pair(1.0)])


def test_what_cannot_be_measured():
    with pytest.raises(DataError, match="no held-out ranking"):
        measure_preferences([ScoredRanking("p", (0, 0), (1.0, 2.0), (3, 4))])
    with pytest.raises(InvariantError, match="not finite"):
        measure_preferences([pair(math.nan)])
