"""Targeted queues: what comes first, who is asked again, and what cannot be asked for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.errors import ConfigError, DataError
from posttrain.preferences.quality.queues import (
    clear_queues,
    put_in_queue,
    queue_checkpoints,
    queue_disagreements,
    uncertainty_of_scores,
)
from posttrain.preferences.quality.settling import settle
from posttrain.preferences.store.items import get_item
from posttrain.preferences.store.queue import next_item


def test_a_disagreement_comes_first_and_gets_one_more_judge(team):
    items = team.add(4)
    for item in items[:3]:
        team.says(team.anna, item, 0, 1)
    team.says(team.ben, items[0], 0, 1)
    team.says(team.ben, items[1], 1, 0)
    team.says(team.ben, items[2], 1, 0)
    settle(
        team.store,
        submission_id="s",
        item_id=items[2],
        annotator_id=team.rhea,
        ranks=[1, 2],
        unacceptable=[False] * 2,
    )
    found = queue_disagreements(team.store)
    assert (found.num_queued, found.num_possible, found.num_before) == (1, 1, 0)
    item = get_item(team.store, items[1])
    assert (item.queue, item.priority, item.overlap, item.is_open) == ("disagreement", 2.0, 3, True)
    assert next_item(team.store, team.cleo).item.item_id == items[1]
    again = queue_disagreements(team.store)
    assert (again.num_queued, again.num_before) == (1, 1)
    assert get_item(team.store, items[1]).overlap == 3  # it waits for that judge already


def test_the_largest_disagreements_and_no_more_than_the_limit(team):
    small, large = team.add(2, num_responses=3)
    team.says(team.anna, small, 0, 1, 1)
    team.says(team.ben, small, 1, 0, 0)
    team.says(team.anna, large, 0, 1, 2)
    team.says(team.ben, large, 2, 1, 0)
    assert queue_disagreements(team.store, limit=1, extra_judges=2).num_queued == 1
    assert get_item(team.store, large).overlap == 4
    assert get_item(team.store, small).queue == ""
    assert queue_disagreements(team.store, at_least=0.1).num_queued == 2


def test_a_new_checkpoint_against_the_others(team):
    old = team.add(2, models=("base", "sft"))
    mixed = team.add(2, models=("ppo", "sft"))
    team.add(1, models=("", "sft"))
    done = team.add(1, models=("ppo", "base"), overlap=1)
    team.says(team.anna, done[0], 0, 1)
    found = queue_checkpoints(team.store)
    assert found.num_queued == 2
    assert "'ppo' against 'base', 'sft'" in found.about
    assert [get_item(team.store, item).priority for item in (*old, *mixed)] == [0, 0, 2, 2]
    assert queue_checkpoints(team.store, new=["ppo"], against=["base"]).num_queued == 0
    assert get_item(team.store, mixed[0]).priority == 0  # the queue was made anew
    assert queue_checkpoints(team.store, new=["sft"], against=["base"]).num_queued == 2


def test_checkpoints_that_cannot_be_compared(team):
    with pytest.raises(DataError, match="does not know which checkpoint"):
        queue_checkpoints(team.store)
    team.add(1, models=("sft", "ppo"))
    with pytest.raises(ConfigError, match="not clear which is new"):
        queue_checkpoints(team.store)
    with pytest.raises(ConfigError, match="Did you mean 'ppo'"):
        queue_checkpoints(team.store, new=["pp0"])
    with pytest.raises(ConfigError, match="compared with anything"):
        queue_checkpoints(team.store, new=["sft"], against=["sft"])


def test_queues_stand_beside_each_other_until_they_are_cleared(team):
    items = team.add(3)
    put_in_queue(team.store, "uncertainty", {items[2]: 0.5, items[1]: 0.9})
    put_in_queue(team.store, "models", {items[0]: 0.7})
    order = [next_item(team.store, team.anna).item.item_id]
    for _ in range(2):
        team.says(team.anna, order[-1], 0, 1)
        order.append(next_item(team.store, team.anna).item.item_id)
    assert order == [items[1], items[0], items[2]]
    assert clear_queues(team.store) == {"disagreement": 0, "uncertainty": 2, "models": 1}
    assert {get_item(team.store, item).priority for item in items} == {0.0}


def test_uncertainty():
    assert uncertainty_of_scores([1.0, 1.0]) == pytest.approx(1.0)
    assert uncertainty_of_scores([0.0, 800.0]) == pytest.approx(0.0, abs=1e-12)
    assert uncertainty_of_scores([0.0, 0.0, 50.0]) == pytest.approx(1 / 3, abs=1e-6)
    assert math.isnan(uncertainty_of_scores([0.0, math.nan]))


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6), st.floats(-10, 10))
def test_uncertainty_is_entropy_and_knows_differences_only(scores, shift):
    def entropy(one, other):
        p = 1 / (1 + math.exp(other - one))
        return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)

    pairs = [(a, b) for i, a in enumerate(scores) for b in scores[i + 1 :]]
    found = uncertainty_of_scores(scores)
    assert found == pytest.approx(sum(entropy(a, b) for a, b in pairs) / len(pairs), abs=1e-6)
    assert 0 <= found <= 1 + 1e-12
    assert uncertainty_of_scores([score + shift for score in scores]) == pytest.approx(found, abs=1e-6)
