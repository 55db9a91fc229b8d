"""Exact values against brute force: a recursion over texts that shares no code with the lab."""

from __future__ import annotations

import math

import pytest
import torch

from posttrain.lab.tabular_task import (
    WEATHER_WORDS,
    TabularTask,
    make_task,
    solve,
    weather_reward,
)
from posttrain.lab.trajectories import Trajectories, all_trajectories, sample_trajectories


def small_task(seed: int = 0, max_tokens: int = 4, cut_reward: float = 0.0) -> TabularTask:
    return make_task(
        WEATHER_WORDS,
        max_tokens,
        weather_reward,
        generator=torch.Generator().manual_seed(seed),
        logit_spread=0.8,
        end_logit=-0.5,
        cut_reward=cut_reward,
    )


def prefixes(task: TabularTask) -> list[tuple[int, ...]]:
    """The text of each state, shortest first and then in the order of a dictionary."""
    found: list[tuple[int, ...]] = [()]
    for prefix in found:
        if len(prefix) + 1 < task.max_tokens:
            found += [(*prefix, word) for word in range(len(task.words))]
    return found


def brute_force_value(task: TabularTask, prefix: tuple[int, ...]) -> float:
    """The expected reward from here on, every continuation walked through."""
    if len(prefix) == task.max_tokens:
        return task.cut_reward
    logits = task.logits[prefixes(task).index(prefix)].tolist()
    weights = [math.exp(x) for x in logits]
    total = weights[task.end_token] * weather_reward(tuple(task.words[w] for w in prefix))
    for word in range(len(task.words)):
        total += weights[word] * brute_force_value(task, (*prefix, word))
    return total / sum(weights)


@pytest.mark.parametrize("cut_reward", [0.0, -1.5])
def test_values_are_those_of_brute_force(cut_reward: float) -> None:
    task = small_task(max_tokens=3, cut_reward=cut_reward)
    exact = solve(task)
    for state, prefix in enumerate(prefixes(task)):
        assert exact.values[state].item() == pytest.approx(brute_force_value(task, prefix), abs=1e-12)
        for word in range(len(task.words)):
            after = brute_force_value(task, (*prefix, word))
            assert exact.action_values[state, word].item() == pytest.approx(after, abs=1e-12)
        assert exact.action_values[state, task.end_token] == task.end_rewards[state]


def test_advantages_average_to_nothing_in_each_state() -> None:
    task = small_task()
    exact = solve(task)
    torch.testing.assert_close(
        (exact.advantages * task.probabilities).sum(-1), torch.zeros_like(exact.values), atol=1e-12, rtol=0
    )
    assert exact.values.dtype == torch.float64


def test_parents_and_next_states_are_those_of_the_texts() -> None:
    task = small_task()
    texts = prefixes(task)
    assert task.num_states == len(texts) == 1 + 3 + 9 + 27
    for state, parent in enumerate(task.parents().tolist()):
        assert texts[parent] == texts[state][:-1]
        if len(texts[state]) + 1 < task.max_tokens:
            for word in range(3):
                onward = task.next_states(torch.tensor(state), torch.tensor(word)).item()
                assert texts[onward] == (*texts[state], word)


def test_all_responses_are_listed_once_and_their_probabilities_sum_to_one() -> None:
    task = small_task()
    found = all_trajectories(task)
    assert len(found) == len({tuple(row) for row in found.tokens.tolist()}) == 1 + 3 + 9 + 27 + 81
    assert found.weights.sum().item() == pytest.approx(1.0, abs=1e-12)
    exact = solve(task)
    expected = (found.weights @ found.rewards.sum(-1)).item()
    assert expected == pytest.approx(exact.values[0].item(), abs=1e-12)
    visits = torch.zeros_like(exact.visits)
    chance = found.weights.unsqueeze(-1).expand_as(found.mask)
    visits.index_add_(0, found.states[found.mask], chance[found.mask])
    torch.testing.assert_close(visits, exact.visits)


def test_rewards_stand_on_the_last_counted_token_only() -> None:
    task = small_task(cut_reward=-2.0)
    found = all_trajectories(task)
    texts = prefixes(task)
    for tokens, mask, rewards in zip(found.tokens, found.mask, found.rewards, strict=True):
        row = tokens[mask].tolist()
        ended = row[-1] == task.end_token
        assert task.end_token not in row[:-1]
        assert ended or len(row) == task.max_tokens
        reward = task.end_rewards[texts.index(tuple(row[:-1]))] if ended else torch.tensor(-2.0)
        assert rewards[len(row) - 1] == reward
        assert rewards.count_nonzero() <= 1


def test_sampling_draws_from_the_policy() -> None:
    task = small_task()
    everything = all_trajectories(task)
    count = 20_000
    sample = sample_trajectories(task, count, torch.Generator().manual_seed(1))
    places = {row: n for n, row in enumerate(map(tuple, everything.tokens.tolist()))}
    drawn = torch.tensor([places[row] for row in map(tuple, sample.tokens.tolist())])
    found = torch.bincount(drawn, minlength=len(everything)) / count
    error = (everything.weights * (1 - everything.weights) / count).sqrt()
    assert ((found - everything.weights).abs() <= 5 * error).all()
    for name in ("states", "mask", "rewards"):
        assert torch.equal(getattr(sample, name), getattr(everything, name)[drawn]), name


def test_the_first_token_can_be_fixed_the_end_too() -> None:
    task = small_task()
    for token in (1, task.end_token):
        sample: Trajectories = sample_trajectories(
            task, 50, torch.Generator().manual_seed(0), first_token=token
        )
        assert (sample.tokens[:, 0] == token).all()
    assert sample.mask.sum() == 50


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ((), 0.0),
        (("sunny",), 7.0),
        (("rainy",), 3.0),
        (("sunny", "and", "sunny"), 9.0),
        (("sunny", "sunny"), 8.5),
        (("and",), 4.0),
        (("rainy", "rainy", "rainy"), 0.0),
        (("sunny", "and", "sunny", "and", "sunny"), 10.0),
    ],
)
def test_the_reward_is_the_stated_rule(text: tuple[str, ...], points: float) -> None:
    assert weather_reward(text) == points
