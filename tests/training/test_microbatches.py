import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.training.microbatches import plan_microbatches, plan_minibatches


@given(
    rows=st.lists(st.tuples(st.integers(1, 50), st.booleans(), st.integers(0, 5)), max_size=30),
    budget=st.integers(1, 200),
    by_group=st.booleans(),
)
def test_every_counted_row_is_in_one_microbatch_within_the_budget(rows, budget, by_group):
    lengths, counted, groups = ([row[i] for row in rows] for i in range(3))
    plan = plan_microbatches(lengths, counted, budget=budget, groups=groups if by_group else None)
    assert sorted(row for part in plan for row in part) == [i for i, counts in enumerate(counted) if counts]
    for part in plan:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= budget


def test_longest_rows_come_first_and_ties_keep_their_order():
    assert plan_microbatches([3, 9, 3, 9, 1], [True] * 5, budget=18) == [[1, 3], [0, 2, 4]]


def test_parts_are_about_equally_large():
    """40 rows of 10 at a budget of 300: not 30 and 10, but 20 and 20."""
    assert [len(part) for part in plan_microbatches([10] * 40, [True] * 40, budget=300)] == [20, 20]
    assert [len(part) for part in plan_microbatches([10] * 31, [True] * 31, budget=300)] == [16, 15]


def test_rows_of_a_group_stay_beside_each_other():
    plan = plan_microbatches([3, 9, 4, 8, 1, 2], [True] * 6, budget=18, groups=[0, 1, 0, 1, 0, 2])
    assert plan == [[1, 3], [2, 0, 4, 5]]


@given(num_rows=st.integers(0, 60), num_minibatches=st.integers(1, 12), epoch=st.integers(0, 3))
def test_every_row_is_in_one_minibatch_of_an_even_split(num_rows, num_minibatches, epoch):
    plan = plan_minibatches(num_rows, num_minibatches, seed=1, step=2, epoch=epoch)
    assert sorted(row for part in plan for row in part) == list(range(num_rows))
    sizes = [len(part) for part in plan]
    assert len(plan) == min(num_minibatches, num_rows)
    assert not sizes or (max(sizes) - min(sizes) <= 1 and min(sizes) > 0)


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 3}, {"epoch": 1}])
def test_the_order_is_drawn_from_seed_step_and_epoch(other):
    place = {"seed": 1, "step": 2, "epoch": 0}
    assert plan_minibatches(20, 4, **place) == plan_minibatches(20, 4, **place)
    assert plan_minibatches(20, 4, **place) != plan_minibatches(20, 4, **place | other)


def test_one_minibatch_keeps_the_order():
    assert plan_minibatches(5, 1, seed=0, step=0, epoch=0) == [[0, 1, 2, 3, 4]]
