import pytest

from posttrain.runs.step_clock import StepClock


def test_calls_of_one_name_add_up_and_failures_count():
    clock = StepClock()
    add = clock.timed("add_seconds", lambda a, b=1: a + b)
    assert add(1, b=2) + add(1) == 5
    first = clock.seconds["add_seconds"]
    with pytest.raises(TypeError):
        add("a")
    assert 0 < first <= clock.seconds["add_seconds"]
    assert set(clock.seconds) == {"add_seconds"}
