"""Where lines, dots and bars stand."""

import pytest

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.report import CheckpointQuality
from posttrain.preferences.quality.strengths import Strength
from posttrain.web.quality.pictures import day_bars, interval_marks


def checkpoint(name, value, low, high):
    return CheckpointQuality(name, 50, 0.5, Strength(name, value, (low, high), 0.5, 50), {})


def test_intervals_share_one_scale_with_the_mean_on_it():
    few = CheckpointQuality("few", 3, 0.5, TooFew(3, 20), {})
    marks, middle = interval_marks([checkpoint("b", 0.5, 0.2, 0.8), checkpoint("a", -0.5, -0.8, -0.2), few])
    assert marks.keys() == {"a", "b"}
    assert middle == 50
    assert (marks["a"].low, marks["b"].high) == (4, 96)
    assert marks["b"].value - middle == pytest.approx(middle - marks["a"].value)
    for mark in marks.values():
        assert mark.low < mark.value < mark.high
    assert interval_marks([few]) == ({}, 50.0)


def test_all_strengths_above_the_mean_still_show_it():
    marks, middle = interval_marks([checkpoint("a", 1.0, 0.5, 1.5)])
    assert middle == 4
    assert marks["a"].low > middle


def test_a_bar_for_each_day():
    bars = day_bars({20_000: 10, 19_998: 5, 10: 99}, 20_000, num_days=4)
    assert [bar.height for bar in bars] == [0, 50, 0, 100]
    assert [bar.number for bar in bars] == ["0", "5", "0", "10"]
    assert bars[-1].label == "2024-10-04"
    assert bars[-1].start + bars[-1].width < 100
    assert day_bars({10: 99}, 20_000) == []
