"""The probability ratio between the policy now and an earlier or a different one, at three levels."""

from typing import Literal

import torch
from torch import Tensor

from posttrain.algorithms.aggregation import masked_mean
from posttrain.algorithms.inputs import at_least_float32, check_mask, check_same_shape
from posttrain.algorithms.masks import keep_counted

RatioLevel = Literal["token", "sequence", "sequence_mean"]
MAX_LOG_RATIO = 20.0


def log_ratio(policy_logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, *, level: RatioLevel) -> Tensor:
    """`log pi_theta - log pi_old` at the level: `[B, T]`, 0 under False; gradients reach the policy only.

    | level | value on every counted token of a row | source |
    |---|---|---|
    | `"token"` | that token's difference | PPO, arXiv 1707.06347; DeepSeekMath's GRPO |
    | `"sequence"` | the sum over the response, log pi(r given p) / pi_old(r given p) | the note's GRPO |
    | `"sequence_mean"` | the mean over the response: a geometric mean | GSPO, arXiv 2507.18071 |

    At the two sequence levels every token holds one number that depends on all tokens of its row. The
    gradient of the row's ratio s is therefore s * sum_t grad log pi(a_t) (times 1/length for the mean): every
    token of a row gets the same weight, and a row is clipped as a whole. Aggregate with `"sequence"`, so that
    the row counts once. The log-ratio is not clamped; only `importance_ratio` clamps, for its exp.
    Raises ValueError for an unknown level, a mask that is not boolean, or shapes that differ.
    """
    check_mask(mask, policy_logprobs=policy_logprobs, old_logprobs=old_logprobs)
    policy = keep_counted(at_least_float32(policy_logprobs, "policy_logprobs"), mask)
    old = keep_counted(at_least_float32(old_logprobs.detach(), "old_logprobs"), mask)
    difference = policy - old
    if level == "token":
        return difference
    row_sum = difference.sum(dim=-1, keepdim=True)
    if level == "sequence":
        return keep_counted(row_sum.expand_as(difference), mask)
    if level == "sequence_mean":
        row_mean = row_sum / mask.sum(dim=-1, keepdim=True).clamp(min=1)
        return keep_counted(row_mean.expand_as(difference), mask)
    raise ValueError(f"unknown level {level!r}: choose 'token', 'sequence' or 'sequence_mean'")


def importance_ratio(log_ratio: Tensor) -> Tensor:
    """`exp(log_ratio)`, the note's c_t: the log-ratio is clamped to +-20 first, so it never overflows.

    Beyond the clamp the gradient is 0. exp(100) is inf in float32, and inf times a clipped 0 is NaN.
    """
    return at_least_float32(log_ratio, "log_ratio").clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def truncated_importance_weights(policy_logprobs: Tensor, rollout_logprobs: Tensor, *, cap: float) -> Tensor:
    """`min(pi_learner / pi_sampler, cap)` per token, detached: `[B, T]`.

    Corrects for a sampler whose probabilities differ from the learner's (another kernel, another precision):
    multiply the per-token policy loss with it, after min and clip. `policy_logprobs` are the learner's for
    the policy that sampled (usually `old_logprobs`). Capped above only: small weights are information, large
    ones are variance.
    Source: truncated importance sampling (Yao et al., 2025, "Your efficient RL framework secretly brings you
    off-policy RL training"). Raises ValueError unless the cap is positive.
    """
    if not cap > 0:
        raise ValueError(f"cap must be positive, got {cap}: 2 is usual, 1 never raises a weight")
    check_same_shape(policy_logprobs=policy_logprobs, rollout_logprobs=rollout_logprobs)
    policy = at_least_float32(policy_logprobs.detach(), "policy_logprobs")
    return importance_ratio(policy - rollout_logprobs.detach()).clamp(max=cap)


def sampler_mismatch(policy_logprobs: Tensor, rollout_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens of `exp|log pi_learner - log pi_sampler|`, a scalar: 1 is a perfect match.

    Above about 1.05 look for the cause (temperature, stale weights, hidden sampling transforms).
    """
    check_same_shape(policy_logprobs=policy_logprobs, rollout_logprobs=rollout_logprobs)
    gap = at_least_float32(policy_logprobs.detach(), "policy_logprobs") - rollout_logprobs.detach()
    return masked_mean(importance_ratio(gap.abs()), mask)


def old_policy_kl(log_ratio: Tensor) -> Tensor:
    """Estimate of KL(pi_old || pi_theta) per sampled token, `c - 1 - log c`; shape of `log_ratio`, detached.

    It is 0 before the first update and never negative: the usual `approx_kl` metric, for token-level
    log-ratios.
    """
    raw = at_least_float32(log_ratio.detach(), "log_ratio")
    return torch.expm1(raw.clamp(max=MAX_LOG_RATIO)) - raw
