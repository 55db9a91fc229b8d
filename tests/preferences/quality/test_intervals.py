"""The jackknife against the textbook's standard error, and Student's quantiles against scipy's."""

import numpy as np
import pytest
from scipy.stats import t as students_t

from posttrain.preferences.quality.intervals import (
    MAX_GROUPS,
    estimate_with_interval,
    groups_of_items,
    jackknife_error,
    student_t_95,
)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 19, 49, 1000])
def test_students_quantile(degrees):
    assert student_t_95(degrees) == pytest.approx(students_t.ppf(0.975, degrees), rel=0.01)


def test_there_is_no_quantile_without_a_degree_of_freedom():
    with pytest.raises(ValueError, match="degree"):
        student_t_95(0)


def test_of_a_mean_it_is_the_standard_error_of_the_mean():
    values = np.random.default_rng(0).normal(size=30)
    sums = np.stack([values, np.ones(30)], axis=1)
    error = jackknife_error(sums, lambda s: s[0] / s[1])
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(30))
    estimate = estimate_with_interval(sums, lambda s: s[0] / s[1], 30)
    assert estimate.value == pytest.approx(values.mean())
    half = students_t.ppf(0.975, 29) * error
    assert estimate.interval == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_an_item_stays_whole_and_groups_are_even():
    items = np.repeat(np.arange(1000) * 17, 3)
    groups, num_groups = groups_of_items(items)
    assert num_groups == MAX_GROUPS
    assert len({(i, g) for i, g in zip(items.tolist(), groups.tolist(), strict=True)}) == 1000
    assert set(np.bincount(groups).tolist()) == {60}
    few, num_few = groups_of_items(np.array([5, 9, 5]))
    assert num_few == 2
    assert few[0] == few[2] != few[1]
    assert groups_of_items(np.zeros(0, dtype=np.int64))[1] == 0


def test_undefined_is_no_estimate_and_one_group_no_interval():
    assert estimate_with_interval(np.zeros((3, 1)), lambda s: float("nan"), 3) is None
    assert estimate_with_interval(np.ones((1, 1)), lambda s: float(s[0]), 1).interval is None
    assert estimate_with_interval(np.full((5, 1), 0.1), lambda s: 0.5, 5).interval is None
