"""From scores and values to advantages and critic targets: the third of the note's five stages, as plain functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.algorithms import (
    explained_variance,
    final_reward_targets,
    generalized_advantages,
    keep_counted,
    masked_moments,
    returns,
    token_rewards,
    whiten,
)
from posttrain.config.ppo import PPOAlgorithmSection
from posttrain.recipes.response_metrics import is_cut, raw_scores
from posttrain.types import ScoredRollout


@dataclass(frozen=True)
class FinalScores:
    """What each response earns at its end, `[rows]`; where `bootstraps`, the critic's value stands for it.

    `scores` is 0 where a response bootstraps, so that nothing is counted twice, and NaN where there is no score.
    `is_trained` is False for rows that no update must see.
    """

    scores: Tensor
    bootstraps: Tensor
    is_trained: Tensor

    def select(self, rows: Tensor) -> FinalScores:
        """These rows only."""
        return FinalScores(self.scores[rows], self.bootstraps[rows], self.is_trained[rows])


def final_scores(scored: Sequence[ScoredRollout], algorithm: PPOAlgorithmSection) -> FinalScores:
    """The scores by the rule for responses that were cut by length; those without a score are not trained on."""
    raw, cut = raw_scores(scored), is_cut(scored)
    has_score = ~raw.isnan()
    bootstraps = cut & has_score & (algorithm.overlong == "bootstrap")
    earns_nothing = bootstraps | (cut & has_score & (algorithm.overlong == "zero"))
    is_trained = has_score & ~(cut & (algorithm.overlong == "mask"))
    return FinalScores(torch.where(earns_nothing, 0.0, raw), bootstraps, is_trained)


@dataclass(frozen=True)
class Estimates:
    """`[rows, time]`: the advantages that the policy is trained with, and what the critic should have said."""

    advantages: Tensor
    targets: Tensor
    metrics: Mapping[str, float]


def estimate_advantages(
    scores: Tensor,
    values: Tensor,
    mask: Tensor,
    algorithm: PPOAlgorithmSection,
    *,
    kl: Tensor | None = None,
    kl_coef: float = 0.0,
    bootstrap_values: Tensor | None = None,
) -> Estimates:
    """GAE over the whole step's rows, and the critic's targets; every row has a score.

    `scores` and `bootstrap_values` `[rows]`, `values`, `mask` and `kl` `[rows, time]`; `kl` is taken off the rewards
    with `kl_coef` (0 where the KL is a term of the loss). Metrics are from before whitening; the explained variance
    is that of the values as they were, over the targets.
    """
    rewards = token_rewards(scores.float(), kl, mask, kl_coef=kl_coef)

    def advantages_with(gae_lambda: float) -> Tensor:
        return generalized_advantages(
            rewards,
            values,
            mask,
            gamma=algorithm.gamma,
            gae_lambda=gae_lambda,
            horizon=algorithm.horizon,
            bootstrap_values=bootstrap_values,
        )

    advantages = advantages_with(algorithm.gae_lambda)
    critic_lambda = algorithm.gae_lambda if algorithm.critic_lambda is None else algorithm.critic_lambda
    # Raw advantages: whitened ones would shift and rescale the targets.
    sums = returns(advantages_with(critic_lambda), values, mask)
    if algorithm.critic_target == "reward":
        # Where a response bootstraps there is no final reward but the critic's own estimate of it.
        final = scores.float() if bootstrap_values is None else scores.float() + bootstrap_values
        targets = final_reward_targets(final, mask)
    else:
        targets = sums
    metrics = {
        **_spread("value", values, mask),
        **_spread("return", sums, mask),
        **_spread("advantage", advantages, mask),
        **_range("value", values, mask),
        "explained_variance": float(explained_variance(values, targets, mask)),
    }
    if kl is not None and kl_coef != 0:
        metrics["reward_kl_part"] = float(-kl_coef * keep_counted(kl, mask).double().sum(dim=-1).mean())
    if algorithm.whiten_advantages:
        advantages = whiten(advantages, mask)
    return Estimates(advantages, targets, metrics)


def _spread(name: str, x: Tensor, mask: Tensor) -> dict[str, float]:
    moments = masked_moments(x, mask)
    return {f"{name}_mean": float(moments.mean), f"{name}_std": float(moments.variance.sqrt())}


def _range(name: str, x: Tensor, mask: Tensor) -> dict[str, float]:
    counted = x[mask]
    return {f"{name}_min": float(counted.min()), f"{name}_max": float(counted.max())}
