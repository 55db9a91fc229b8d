from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.example_order import ExampleOrder


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_each_epoch_takes_every_example_once(num_examples, per_step, seed):
    order = ExampleOrder(num_examples, examples_per_step=per_step, seed=seed)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch + 1, (epoch + 1) * order.steps_per_epoch + 1)
        taken = [order.of_step(step) for step in steps]
        assert sorted(number for examples in taken for number in examples) == list(range(num_examples))
        sizes = {len(examples) for examples in taken}
        assert max(sizes) <= per_step
        assert max(sizes) - min(sizes) <= 1


def test_a_step_is_the_same_whenever_it_is_asked_for():
    order = ExampleOrder(17, examples_per_step=4, seed=3)
    forwards = [order.of_step(step) for step in range(1, 20)]
    fresh = [ExampleOrder(17, examples_per_step=4, seed=3).of_step(step) for step in reversed(range(1, 20))]
    assert forwards == fresh[::-1]


def test_epochs_and_seeds_differ():
    def epoch(number, seed):
        return ExampleOrder(50, examples_per_step=50, seed=seed).of_step(number)

    assert len({tuple(epoch(number, seed)) for number in (1, 2, 3) for seed in (0, 1)}) == 6


def test_the_order_never_changes():
    """A run of last year resumes with the same steps."""
    order = ExampleOrder(6, examples_per_step=4, seed=0)
    assert [order.of_step(1), order.of_step(2)] == [[5, 2, 3], [0, 4, 1]]


def test_nothing_to_order():
    with pytest.raises(ValueError, match="needs examples"):
        ExampleOrder(0, examples_per_step=4, seed=0)
