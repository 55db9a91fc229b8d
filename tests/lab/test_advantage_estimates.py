"""What must hold of the estimators whatever the numbers are, and sampling against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from posttrain.algorithms import generalized_advantages
from posttrain.config.lab import LabConfig
from posttrain.lab import measure
from posttrain.lab.advantage_estimates import Estimator, exact_errors, sampled_mse, token_moments
from posttrain.lab.advantage_lab import same_estimator
from posttrain.lab.critics import Critic, biased_critic, exact_critic, learnt_critic, noisy_critic
from posttrain.lab.dartboard import throw_darts
from posttrain.lab.tabular_task import WEATHER_WORDS, make_task, solve, weather_reward
from posttrain.lab.trajectories import all_trajectories, sample_trajectories

TASK = make_task(WEATHER_WORDS, 5, weather_reward, generator=torch.Generator().manual_seed(0), end_logit=-0.5)
EXACT = solve(TASK)
EVERYTHING = all_trajectories(TASK)
WRONG = {
    "biased": biased_critic(TASK, EXACT, 1.0),
    "noisy": noisy_critic(EXACT, 1.0, 3, torch.Generator().manual_seed(1)),
    "learnt": learnt_critic(TASK, 20, 3, torch.Generator().manual_seed(2)),
}
GRID = [Estimator(a, k) for a in (0.0, 0.3, 0.9, 1.0) for k in (1, 2, 3, None)]


def errors(critic: Critic, estimator: Estimator):
    return exact_errors(TASK, EXACT, EVERYTHING, critic, estimator)


@pytest.mark.parametrize("estimator", GRID, ids=str)
def test_with_the_exact_critic_every_estimator_is_unbiased_for_every_token(estimator: Estimator) -> None:
    moments = token_moments(TASK, EVERYTHING, EXACT.values.unsqueeze(0), estimator)
    torch.testing.assert_close(moments.means[0], EXACT.advantages, atol=1e-10, rtol=0)
    assert errors(exact_critic(EXACT), estimator).bias_squared < 1e-20


@pytest.mark.parametrize("name", WRONG)
def test_monte_carlo_is_off_by_the_critics_error_alike_for_all_tokens(name: str) -> None:
    """Unbiased up to the baseline: the mean is Q - V of the critic, so nothing is left between tokens."""
    critic = WRONG[name]
    moments = token_moments(TASK, EVERYTHING, critic.values, Estimator(1.0))
    expected = EXACT.action_values - critic.values.unsqueeze(-1)
    torch.testing.assert_close(moments.means, expected, atol=1e-10, rtol=0)
    found = errors(critic, Estimator(1.0))
    assert found.token_bias_squared < 1e-20
    assert found.bias_squared == pytest.approx(critic.error(EXACT) ** 2)


@pytest.mark.parametrize("name", WRONG)
def test_td_with_a_wrong_critic_is_biased_between_tokens_and_has_no_variance(name: str) -> None:
    """The next state of a text is certain, so nothing about delta_t is left to chance once a_t is known."""
    found = errors(WRONG[name], Estimator(0.0))
    assert found.token_bias_squared > 0.01
    assert found.variance < 1e-20
    assert found.mse == pytest.approx(found.bias_squared)


def test_with_the_exact_critic_variance_grows_with_lambda_and_with_k() -> None:
    variances = [
        [errors(exact_critic(EXACT), Estimator(a, k)).variance for k in (1, 2, 3, None)]
        for a in (0.0, 0.3, 0.9, 1.0)
    ]
    assert variances[0][0] < 1e-20 < variances[3][3]
    for row in variances[1:]:
        assert row == sorted(row)
    for column in zip(*variances, strict=True):
        assert all(b >= a - 1e-20 for a, b in itertools.pairwise(column))


@pytest.mark.parametrize("estimator", GRID, ids=str)
def test_error_is_bias_and_variance_and_agrees_with_plain_sums(estimator: Estimator) -> None:
    """A slow twin: one state and token at a time, one response at a time."""
    critic = Critic("one", "", WRONG["learnt"].values[:1])
    found = errors(critic, estimator)
    assert found.mse == pytest.approx(found.bias_squared + found.variance)
    estimates = generalized_advantages(
        EVERYTHING.rewards,
        critic.values[0][EVERYTHING.states],
        EVERYTHING.mask,
        gae_lambda=estimator.gae_lambda,
        horizon=estimator.horizon,
    )
    pairs: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for row in range(len(EVERYTHING)):
        for t in range(int(EVERYTHING.mask[row].sum())):
            key = (int(EVERYTHING.states[row, t]), int(EVERYTHING.tokens[row, t]))
            pairs.setdefault(key, []).append((EVERYTHING.weights[row].item(), estimates[row, t].item()))
    length = sum(p for seen in pairs.values() for p, _ in seen)
    bias_squared = variance = 0.0
    for (state, token), seen in pairs.items():
        chance = sum(p for p, _ in seen)
        mean = sum(p * x for p, x in seen) / chance
        bias_squared += chance * (mean - EXACT.advantages[state, token].item()) ** 2 / length
        variance += sum(p * (x - mean) ** 2 for p, x in seen) / length
    assert found.bias_squared == pytest.approx(bias_squared, abs=1e-12)
    assert found.variance == pytest.approx(variance, abs=1e-12)


def test_k_of_the_whole_response_or_more_is_no_limit() -> None:
    for critic in WRONG.values():
        full = Estimator(0.9).advantages(EVERYTHING, critic.values)
        for horizon in (TASK.max_tokens, TASK.max_tokens + 3):
            torch.testing.assert_close(Estimator(0.9, horizon).advantages(EVERYTHING, critic.values), full)
        assert not torch.allclose(
            Estimator(0.9, TASK.max_tokens - 1).advantages(EVERYTHING, critic.values), full
        )


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("horizon", [1, 2, 5, 9, None])
def test_estimators_that_share_a_name_are_the_same(gae_lambda: float, horizon: int | None) -> None:
    values = WRONG["noisy"].values
    plain = Estimator(gae_lambda, horizon).advantages(EVERYTHING, values)
    named = same_estimator(gae_lambda, horizon, TASK.max_tokens).advantages(EVERYTHING, values)
    torch.testing.assert_close(named, plain, atol=1e-12, rtol=0)


@pytest.mark.parametrize("estimator", [Estimator(0.5), Estimator(0.9, 2), Estimator(1.0)], ids=str)
def test_samples_agree_with_the_enumeration(estimator: Estimator) -> None:
    values = WRONG["biased"].values
    exact = errors(WRONG["biased"], estimator).mse
    generator = torch.Generator().manual_seed(7)
    deviations = []
    for _ in range(30):
        sample = sample_trajectories(TASK, 2000, generator)
        found, error = sampled_mse(EXACT, sample, values[0], estimator)
        deviations.append((found - exact) / error)
    spread = torch.tensor(deviations)
    assert spread.mean().abs() < 4 / 30**0.5
    assert 0.6 < spread.std() < 1.5


def test_darts_land_around_their_exact_centre_with_their_exact_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    board = throw_darts(TASK, EXACT, EVERYTHING, WRONG["biased"], Estimator(0.9), 2000, 4, generator)
    centre = torch.tensor(board.centre, dtype=torch.float64)
    assert ((board.errors.mean(0) - centre).abs() < 4 * board.standard_errors).all()
    assert board.errors.var(0).sum().sqrt().item() == pytest.approx(board.spread, rel=0.06)
    assert board.bias > 0.1


def test_averages_over_draws_have_a_standard_error() -> None:
    critic = WRONG["noisy"]
    each = [errors(Critic("one", "", v.unsqueeze(0)), Estimator(0.5)).mse for v in critic.values]
    found = errors(critic, Estimator(0.5))
    assert found.mse == pytest.approx(sum(each) / 3)
    assert found.mse_standard_error == pytest.approx(torch.tensor(each).std().item() / 3**0.5, rel=1e-5)
    assert errors(WRONG["biased"], Estimator(0.5)).mse_standard_error == 0.0


SMALL = {"max_tokens": 4, "critic_draws": 2, "num_trajectories": 500, "num_darts": 20}


def test_the_best_lambda_moves_up_with_the_number_of_estimates() -> None:
    lab = measure(LabConfig(**SMALL, averaged_over=(1, 16, 100_000)))
    for critic in lab.critics[1:]:
        best = [lab.best_lambda(critic.name, n) for n in lab.config.averaged_over]
        assert best == sorted(best)
        assert best[0] < best[-1] == 1.0
    assert [lab.best_lambda("exact", n) for n in lab.config.averaged_over] == [0.0, 0.0, 0.0]


def test_the_same_settings_give_the_same_numbers_and_more_darts_the_same_critics() -> None:
    first, again = measure(LabConfig(**SMALL)), measure(LabConfig(**SMALL))
    assert first.cells == again.cells
    more = measure(LabConfig(**{**SMALL, "num_darts": 30}))
    assert more.cells == first.cells
    assert measure(LabConfig(**SMALL, seed=1)).cells != first.cells
