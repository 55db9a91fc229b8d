from __future__ import annotations

import pytest
import torch

from posttrain.lab.critics import biased_critic, exact_critic, learnt_critic, noisy_critic
from posttrain.lab.tabular_task import WEATHER_WORDS, make_task, solve, weather_reward
from posttrain.lab.trajectories import sample_trajectories

TASK = make_task(WEATHER_WORDS, 4, weather_reward, generator=torch.Generator().manual_seed(0))
EXACT = solve(TASK)


def test_the_exact_critic_has_no_error() -> None:
    assert exact_critic(EXACT).error(EXACT) == 0.0


@pytest.mark.parametrize("error", [0.3, 2.0])
def test_biased_and_noisy_critics_have_the_error_that_was_asked_for(error: float) -> None:
    noisy = noisy_critic(EXACT, error, 5, torch.Generator().manual_seed(0))
    assert noisy.values.shape == (5, TASK.num_states)
    for critic in (biased_critic(TASK, EXACT, error), noisy):
        assert critic.error(EXACT) == pytest.approx(error)


def test_the_biased_critic_is_too_high_by_the_number_of_favourite_words() -> None:
    error = biased_critic(TASK, EXACT, 1.0).values[0] - EXACT.values
    sunny = TASK.next_states(torch.tensor(0), torch.tensor(0))
    rainy = TASK.next_states(torch.tensor(0), torch.tensor(1))
    sunny_twice = TASK.next_states(sunny, torch.tensor(0))
    assert error[0] > 0
    for state, words in ((rainy, 0), (sunny, 1), (sunny_twice, 2)):
        assert (error[state] / error[0]).item() == pytest.approx(1 + words)


def test_a_learnt_critic_is_the_shrunk_mean_of_what_passed_through_each_state() -> None:
    rollouts = 40
    values = learnt_critic(TASK, rollouts, 1, torch.Generator().manual_seed(3)).values[0]
    seen = sample_trajectories(TASK, rollouts, torch.Generator().manual_seed(3))
    scores = seen.rewards.sum(-1)
    parents = TASK.parents()
    assert values[0].item() == pytest.approx(scores.mean().item())
    for state in range(1, TASK.num_states):
        through = ((seen.states == state) & seen.mask).any(-1)
        expected = (scores[through].sum() + values[parents[state]]) / (through.sum() + 1)
        assert values[state].item() == pytest.approx(expected.item())


def test_a_learnt_critic_comes_closer_with_more_responses() -> None:
    errors = [
        learnt_critic(TASK, rollouts, 4, torch.Generator().manual_seed(0)).error(EXACT)
        for rollouts in (20, 400, 40_000)
    ]
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2]
    assert errors[2] < 0.15
