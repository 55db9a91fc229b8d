"""The equations: post-training's losses, advantages and divergences as pure functions on tensors.

Each file is one paper or term; `docs/equations.md` leads from each equation of the text to its function.
Everything here takes tensors and returns tensors, imports torch alone, and knows no model, no device and no
rank. Masks are boolean and True counts; losses are minimised and come back per element; `aggregate` is the
one place that sums.
"""

from posttrain.algorithms.aggregation import (
    Moments,
    aggregate,
    combine_moments,
    masked_mean,
    masked_moments,
    whiten,
)
from posttrain.algorithms.bradley_terry import (
    center_regularizer,
    pairwise_accuracy,
    pairwise_loss,
    preference_probability,
    ranking_loss,
)
from posttrain.algorithms.chunked_head import ReferenceHead, TokenStatistics, token_statistics_from_hidden
from posttrain.algorithms.clipping import ClippedTokens, clip_fractions, clipped_tokens
from posttrain.algorithms.dapo import soft_overlong_penalty
from posttrain.algorithms.gae import (
    generalized_advantages,
    monte_carlo_advantages,
    returns,
    temporal_difference_advantages,
)
from posttrain.algorithms.grpo import group_relative_advantages, informative_groups, leave_one_out_advantages
from posttrain.algorithms.importance import (
    importance_ratio,
    log_ratio,
    old_policy_kl,
    sampler_mismatch,
    truncated_importance_weights,
)
from posttrain.algorithms.kl import adaptive_kl_coef, exact_kl, k1, k2, k3
from posttrain.algorithms.logprobs import entropy, log_probabilities, token_logprobs
from posttrain.algorithms.masks import keep_counted, last_token_index, last_token_mask
from posttrain.algorithms.ppo import clipped_surrogate, ppo_total_loss, token_rewards, value_loss
from posttrain.algorithms.values import explained_variance, final_reward_targets, value_clip_fraction

__all__ = [
    "ClippedTokens",
    "Moments",
    "ReferenceHead",
    "TokenStatistics",
    "adaptive_kl_coef",
    "aggregate",
    "center_regularizer",
    "clip_fractions",
    "clipped_surrogate",
    "clipped_tokens",
    "combine_moments",
    "entropy",
    "exact_kl",
    "explained_variance",
    "final_reward_targets",
    "generalized_advantages",
    "group_relative_advantages",
    "importance_ratio",
    "informative_groups",
    "k1",
    "k2",
    "k3",
    "keep_counted",
    "last_token_index",
    "last_token_mask",
    "leave_one_out_advantages",
    "log_probabilities",
    "log_ratio",
    "masked_mean",
    "masked_moments",
    "monte_carlo_advantages",
    "old_policy_kl",
    "pairwise_accuracy",
    "pairwise_loss",
    "ppo_total_loss",
    "preference_probability",
    "ranking_loss",
    "returns",
    "sampler_mismatch",
    "soft_overlong_penalty",
    "temporal_difference_advantages",
    "token_logprobs",
    "token_rewards",
    "token_statistics_from_hidden",
    "truncated_importance_weights",
    "value_clip_fraction",
    "value_loss",
    "whiten",
]
