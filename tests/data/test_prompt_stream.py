from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data import Problems, PromptStream, make_task
from posttrain.errors import CheckpointError, DataError
from posttrain.types import Prompt


def prompts(n: int) -> list[Prompt]:
    return [Prompt(f"p/{i}", f"question {i}", {"answer": i}) for i in range(n)]


def ids(taken: list[Prompt]) -> list[str]:
    return [p.group_id for p in taken]


sizes = st.integers(1, 12)
takes = st.lists(st.integers(0, 30), max_size=6)


@given(sizes, st.integers(0, 99), takes, takes)
def test_a_state_resumes_to_the_same_prompts_twice(
    n: int, seed: int, before: list[int], after: list[int]
) -> None:
    stream = PromptStream(prompts(n), seed=seed)
    for count in before:
        stream.take(count)
    state = json.loads(json.dumps(stream.state_dict()))
    expected = [ids(stream.take(count)) for count in after]
    for _ in range(2):
        resumed = PromptStream(prompts(n), seed=seed)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert [ids(resumed.take(count)) for count in after] == expected
        stream.load_state_dict(state)
        assert [ids(stream.take(count)) for count in after] == expected


@given(sizes, st.integers(0, 99), takes)
def test_how_it_is_taken_does_not_matter(n: int, seed: int, counts: list[int]) -> None:
    parts = PromptStream(prompts(n), seed=seed)
    at_once = PromptStream(prompts(n), seed=seed)
    assert [p for count in counts for p in parts.take(count)] == at_once.take(sum(counts))
    assert parts.state_dict() == at_once.state_dict()


@given(sizes, st.integers(1, 5))
def test_every_epoch_is_a_permutation(n: int, epochs: int) -> None:
    taken = PromptStream(prompts(n), seed=0).take(n * epochs)
    assert max(Counter(ids(taken)).values()) == 1
    for epoch in range(epochs):
        part = taken[epoch * n : (epoch + 1) * n]
        assert {p.prompt_id for p in part} == {p.prompt_id for p in prompts(n)}
        assert {p.epoch for p in part} == {epoch}


def test_epochs_and_seeds_differ_and_global_state_plays_no_part() -> None:
    stream = PromptStream(prompts(50), seed=0)
    random.seed(1)
    first, second = stream.take(50), stream.take(50)
    assert [p.prompt_id for p in first] != [p.prompt_id for p in second]
    assert [p.prompt_id for p in first] != [p.prompt_id for p in PromptStream(prompts(50), seed=1).take(50)]
    before = random.getstate()
    stream.take(70)
    assert random.getstate() == before
    random.seed(2)
    assert PromptStream(prompts(50), seed=0).take(50) == first


def test_the_order_is_pinned() -> None:
    """The same on every machine and Python version, or no run could move."""
    assert [p.prompt_id for p in PromptStream(prompts(8), seed=0).take(8)] == PINNED
    assert PromptStream(prompts(3), seed=0, shuffle=False).take(4)[3].group_id == "p/0@1"


PINNED = ["p/0", "p/1", "p/2", "p/7", "p/4", "p/6", "p/5", "p/3"]


def test_changed_data_is_refused() -> None:
    state = PromptStream(prompts(5), seed=0).state_dict()
    other = [*prompts(4), Prompt("p/4", "question 4", {"answer": 5})]
    for changed in (
        PromptStream(other, seed=0),
        PromptStream(prompts(5), seed=1),
        PromptStream(prompts(4), seed=0),
    ):
        with pytest.raises(CheckpointError, match="are not those"):
            changed.load_state_dict(state)
    for damage in ({"position": 5}, {"position": -1}, {"epoch": -1}, {"epoch": "0"}):
        with pytest.raises(CheckpointError, match="damaged"):
            PromptStream(prompts(5), seed=0).load_state_dict({**state, **damage})


def test_tasks_stream_without_being_listed() -> None:
    problems = Problems(make_task("sorting"), "train", seed=4, count=100_000)
    stream = PromptStream(problems, seed=0)
    assert stream.fingerprint == problems.fingerprint
    assert len(stream.take(16)) == 16


def test_an_empty_stream_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one prompt"):
        PromptStream([], seed=0)
    with pytest.raises(ValueError, match="-1"):
        PromptStream(prompts(1), seed=0).take(-1)
