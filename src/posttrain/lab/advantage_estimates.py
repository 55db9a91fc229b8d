"""Bias, variance and mean squared error of advantage estimators, by the functions that users train with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.algorithms import (
    generalized_advantages,
    monte_carlo_advantages,
    temporal_difference_advantages,
)
from posttrain.lab.critics import Critic
from posttrain.lab.tabular_task import ExactValues, TabularTask
from posttrain.lab.trajectories import Trajectories


@dataclass(frozen=True)
class Estimator:
    """GAE with this lambda and this many steps K; `horizon` None goes to the end of the response."""

    gae_lambda: float
    horizon: int | None = None

    def advantages(self, trajectories: Trajectories, values: Tensor) -> Tensor:
        """The estimates at every token `[..., N, T]`, from critics `[..., S]`; 0 where the mask is False."""
        seen = values[..., trajectories.states]
        rewards, mask = trajectories.rewards.expand_as(seen), trajectories.mask.expand_as(seen)
        rows = [x.reshape(-1, seen.shape[-1]) for x in (rewards, seen, mask)]
        if self.gae_lambda == 0.0:
            found = temporal_difference_advantages(*rows)
        elif self.gae_lambda == 1.0 and self.horizon is None:
            found = monte_carlo_advantages(*rows)
        else:
            found = generalized_advantages(*rows, gae_lambda=self.gae_lambda, horizon=self.horizon)
        return found.reshape(seen.shape)


@dataclass(frozen=True)
class EstimatorError:
    """What an estimator's errors are made of, in squared reward points: `mse = bias_squared + variance`.

    Bias and variance are of the estimate given state and token, averaged over these as the policy visits
    them. `token_bias_squared` is what is left of the bias when each state's own mean is taken out: a bias
    that all tokens of a state share does not move the expected policy gradient. `mean_bias` keeps its sign.
    `mse_standard_error` is over the draws of the critic, 0 where there is one: nothing else is left to chance.
    """

    mean_bias: float
    bias_squared: float
    token_bias_squared: float
    variance: float
    mse: float
    mse_standard_error: float

    def after_averaging(self, count: int) -> float:
        """What a gradient that averages `count` such estimates is left with: token bias + variance / count."""
        return self.token_bias_squared + self.variance / count


@dataclass(frozen=True)
class TokenMoments:
    """Mean and variance of an estimate given state and token, for D critics: `[D, S, W + 1]`; no sampling error."""

    means: Tensor
    variances: Tensor


def token_moments(
    task: TabularTask, everything: Trajectories, values: Tensor, estimator: Estimator
) -> TokenMoments:
    """Sums over all responses that take a token in a state, weighted by their probabilities; critics `[D, S]`."""
    actions = task.end_token + 1
    pair = (everything.states * actions + everything.tokens)[everything.mask]
    chance = everything.weights.unsqueeze(-1).expand_as(everything.mask)[everything.mask]
    chance = (
        chance / torch.zeros(task.num_states * actions, dtype=chance.dtype).index_add_(0, pair, chance)[pair]
    )
    estimates = estimator.advantages(everything, values)[:, everything.mask]
    empty = torch.zeros(len(values), task.num_states * actions, dtype=chance.dtype)
    means = empty.index_add(1, pair, estimates * chance)
    variances = empty.index_add(1, pair, (estimates - means[:, pair]).square() * chance)
    shape = (len(values), task.num_states, actions)
    return TokenMoments(means.reshape(shape), variances.reshape(shape))


def exact_errors(
    task: TabularTask, exact: ExactValues, everything: Trajectories, critic: Critic, estimator: Estimator
) -> EstimatorError:
    """The errors averaged over states and tokens as the policy visits them, and over the critic's draws."""
    moments = token_moments(task, everything, critic.values, estimator)
    visited = exact.visits.unsqueeze(-1) * task.probabilities / exact.visits.sum()

    def average(per_token: Tensor) -> Tensor:
        return (per_token * visited).sum(dim=(-2, -1))

    bias = moments.means - exact.advantages
    shared = (bias * task.probabilities).sum(-1, keepdim=True)
    bias_squared, variance = average(bias.square()), average(moments.variances)
    mse = bias_squared + variance
    return EstimatorError(
        mean_bias=average(bias).mean().item(),
        bias_squared=bias_squared.mean().item(),
        token_bias_squared=average((bias - shared).square()).mean().item(),
        variance=variance.mean().item(),
        mse=mse.mean().item(),
        mse_standard_error=(mse.std() / math.sqrt(len(mse))).item() if len(mse) > 1 else 0.0,
    )


def sampled_mse(
    exact: ExactValues, sample: Trajectories, values: Tensor, estimator: Estimator
) -> tuple[float, float]:
    """The mean squared error over the tokens of sampled responses, and its standard error; one critic `[S]`.

    A mean over tokens is a ratio of two sums over responses, so its error is the delta method's.
    """
    truth = exact.advantages[sample.states, sample.tokens]
    errors = (estimator.advantages(sample, values) - truth).where(sample.mask, 0.0).square().sum(-1)
    lengths = sample.mask.sum(-1)
    ratio = errors.sum() / lengths.sum()
    residuals = errors - ratio * lengths
    error = residuals.std() / (math.sqrt(len(sample)) * lengths.double().mean())
    return ratio.item(), error.item()
