from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.data import TASKS, Problems, make_task
from posttrain.data.problem_kinds import Countdown
from posttrain.errors import ConfigError
from posttrain.rewards import RewardTerm, build_reward
from posttrain.rewards.arithmetic import evaluate
from posttrain.rewards.build import VERIFIERS
from posttrain.types import Prompt, Rollout


def contents(name: str, split: Any, **parameters: Any) -> list[str]:
    return [str(p.content) for p in Problems(make_task(name, parameters), split)]


def test_one_digit_sums_are_all_there_once() -> None:
    train, held_out = contents("sums", "train"), contents("sums", "held_out")
    assert "What is 3 + 4? Reply with only the number." in train + held_out
    assert sorted(train + held_out) == sorted(
        f"What is {a} + {b}? Reply with only the number." for a in range(10) for b in range(10)
    )
    assert (len(train), len(held_out)) == (77, 23)
    assert (len(contents("products", "train")), len(contents("products", "held_out"))) == (75, 25)


@pytest.mark.parametrize("name", ["sums", "products"])
def test_with_twins_apart_a_quarter_is_held_out(name: str) -> None:
    train, held_out = (contents(name, split, twins_together=False) for split in ("train", "held_out"))
    assert (len(train), len(held_out)) == (75, 25)
    assert not set(train) & set(held_out)


def test_no_sum_is_held_out_with_its_twin_and_no_answer_is_lost() -> None:
    """What the split's salt was chosen for: a model that is never asked for a number learns not to give it."""
    held_out = Problems(make_task("sums", {"twins_together": False}), "held_out")
    operands = [tuple(str(p.content).removeprefix("What is ").split("?")[0].split(" + ")) for p in held_out]
    assert not [(a, b) for a, b in operands if a < b and (b, a) in operands]
    answers = [int(a) + int(b) for a, b in operands]
    for answer in set(answers):
        problems = sum(a + b == answer for a in range(10) for b in range(10))
        assert problems == 1 or answers.count(answer) <= problems / 2


@pytest.mark.parametrize("name", ["sums", "products"])
def test_twins_share_a_side(name: str) -> None:
    for split in ("train", "held_out"):
        asked = set(contents(name, split))
        for text in asked:
            a, sign, b = text.removeprefix("What is ").split("?")[0].split()
            assert f"What is {b} {sign} {a}? Reply with only the number." in asked


def test_the_split_never_moves() -> None:
    """Pinned: a change would let new runs train on what old ones evaluated."""
    assert [p.columns["answer"] for p in Problems(make_task("sums"), "held_out")][:8] == PINNED_SUMS
    drawn = make_task("countdown").problem(0, "held_out", seed=1)
    assert (drawn.columns["numbers"], drawn.columns["target"]) == PINNED_COUNTDOWN


PINNED_SUMS = ["7", "2", "4", "5", "7", "4", "8", "5"]
PINNED_COUNTDOWN = ([7, 6, 11], 24)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_problems_repeat_and_their_answers_verify(name: str, split: Any) -> None:
    task = make_task(name)
    verifier = VERIFIERS[task.verifier]
    for index in range(40):
        problem = task.problem(index, split, seed=3)
        assert problem == task.problem(index, split, seed=3)
        answer = problem.columns.get("answer") or solve(problem.columns["numbers"], problem.columns["target"])
        assert verifier(answer, problem.columns, **task.verifier_options) == 1.0
        assert verifier(str(problem.content), problem.columns, **task.verifier_options) == 0.0
        assert verifier("", problem.columns, **task.verifier_options) == 0.0


def solve(numbers: list[int], target: int) -> str:
    """Brute force: combine any two until one is left."""
    found = _solve([(Fraction(n), str(n)) for n in numbers], target)
    assert found is not None, (numbers, target)
    return found


def _solve(values: list[tuple[Fraction, str]], target: int) -> str | None:
    if len(values) == 1:
        return values[0][1] if values[0][0] == target else None
    for i, (x, left) in enumerate(values):
        for j, (y, right) in enumerate(values):
            if i == j:
                continue
            rest = [v for k, v in enumerate(values) if k not in (i, j)]
            results = [(x + y, "+"), (x - y, "-"), (x * y, "*"), *([(x / y, "/")] if y else [])]
            for result, sign in results:
                if (found := _solve([*rest, (result, f"({left}{sign}{right})")], target)) is not None:
                    return found
    return None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("sums", {"digits": 5}), ("countdown", {"count": 4}), ("sorting", {"count": 3, "largest": 5})],
)
def test_drawn_splits_are_disjoint_whatever_the_seed(name: str, parameters: dict[str, Any]) -> None:
    task = make_task(name, parameters)
    kind = TASKS[name](**parameters)

    def identities(split: Any, seed: int) -> set[str]:
        problems = [task.problem(i, split, seed) for i in range(200)]
        return {repr(identity(p)) for p in problems}

    def identity(problem: Prompt) -> Any:
        if "target" in problem.columns:
            return sorted(problem.columns["numbers"]), problem.columns["target"]
        if "numbers" in problem.columns:
            return sorted(problem.columns["numbers"])
        return sorted(str(problem.content).removeprefix("What is ").split("?")[0].split(" + "))

    assert not identities("train", 0) & identities("held_out", 1)
    assert identities("train", 0) != identities("train", 1)
    assert kind.name == name


@given(st.integers(2, 5), st.integers(4, 30), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_every_countdown_problem_has_a_solution(count: int, largest: int, seed: int) -> None:
    import random

    *numbers, target = Countdown(count=count, largest=largest).draw(random.Random(seed))
    if count <= 4:
        result = evaluate(solve(numbers, target))
        assert result is not None
        assert result.value == target


def test_problems_behave_like_a_list() -> None:
    problems = Problems(make_task("sums"), "train", seed=1, count=10)
    assert len(problems) == len(list(problems)) == len({p.prompt_id for p in problems}) == 10
    assert problems[-1] == problems[9]
    assert problems[2:4] == [problems[2], problems[3]]
    with pytest.raises(IndexError):
        problems[10]
    assert len(Problems(make_task("sums"), "train", count=1000)) == 77
    assert len(Problems(make_task("sorting"), "train")) == 10_000
    prints = {
        Problems(make_task("sums", p), s, seed=e, count=c).fingerprint
        for p in ({}, {"digits": 3})
        for s in ("train", "held_out")
        for e in (0, 1)
        for c in (5, 6)
    }  # type: ignore[arg-type]
    assert len(prints) == 16


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("sum", {}, "did you mean 'sums'"),
        ("zzzz", {}, "known: sums"),
        ("sums", {"digit": 2}, "did you mean 'digits'"),
        ("sums", {"digits": 0}, "whole number from 1"),
        ("sums", {"digits": True}, "whole number"),
        ("sums", {"digits": "2"}, "whole number"),
        ("countdown", {"count": 1}, "count is a whole number from 2"),
        ("countdown", {"use_all": 1}, "true or false"),
        ("sorting", {"largest": -1}, "largest"),
    ],
)
def test_tasks_that_cannot_work(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_task(name, parameters)
    with pytest.raises(ConfigError, match="a split is"):
        make_task("sums").problem(0, "test")  # type: ignore[arg-type]


HAS_GYM = importlib.util.find_spec("reasoning_gym") is not None


def test_without_reasoning_gym_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ConfigError, match=r"pip install 'posttrain\[reasoning-gym\]'"):
        make_task("reasoning_gym:basic_arithmetic")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GYM, reason="needs reasoning-gym")
@pytest.mark.filterwarnings("ignore")
def test_reasoning_gym() -> None:
    task = make_task("reasoning_gym:basic_arithmetic", {"max_terms": 3})
    train, held_out = ([task.problem(i, split, 1) for i in range(20)] for split in ("train", "held_out"))  # type: ignore[arg-type]
    assert not {p.content for p in train} & {p.content for p in held_out}
    assert task.problem(3, "train", 1) == train[3]
    with build_reward([RewardTerm(name=task.verifier)]) as reward:
        right = [
            Rollout(p, 0, (1,), (0.0,), "eos", f"<answer>{p.columns['answer']}</answer>", 0) for p in train
        ]
        wrong = [Rollout(p, 0, (1,), (0.0,), "eos", "x", 0) for p in train]
        assert [s.value for s in reward(right)] == [1.0] * 20
        assert all(s.value == 0.0 for s in reward(wrong))
    with pytest.raises(ConfigError, match="did you mean 'basic_arithmetic'"):
        make_task("reasoning_gym:basic_aritmetic")
    with pytest.raises(ConfigError, match="refuses the parameters"):
        make_task("reasoning_gym:basic_arithmetic", {"nonsense": 3})
