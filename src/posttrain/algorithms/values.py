"""The critic's other target, and two numbers that say how it is doing."""

import torch
from torch import Tensor

from posttrain.algorithms.aggregation import masked_mean, masked_moments
from posttrain.algorithms.inputs import at_least_float32, check_mask, check_same_shape
from posttrain.algorithms.masks import keep_counted

ROUNDING = 1e-11
"""A variance that is a smaller share of the mean square is rounding: a few float32 units, squared."""


@torch.no_grad()
def final_reward_targets(scores: Tensor, mask: Tensor) -> Tensor:
    """The note's critic target `sg(R(s_T))`: the score at every counted state; `[B], [B, T] -> [B, T]`.

    It equals `returns` for gamma = lambda = 1 and rewards at the last token only (no KL in the rewards).
    """
    check_mask(mask)
    check_same_shape(scores=scores, mask_rows=mask.any(dim=-1))
    return keep_counted(at_least_float32(scores, "scores").unsqueeze(-1).expand(mask.shape), mask)


@torch.no_grad()
def value_clip_fraction(
    values: Tensor, targets: Tensor, mask: Tensor, *, old_values: Tensor, clip: float
) -> Tensor:
    """Fraction of counted tokens where the clipped error of `value_loss` is the larger one, a scalar."""
    check_mask(mask, values=values, targets=targets, old_values=old_values)
    old = at_least_float32(old_values, "old_values")
    values, targets = at_least_float32(values, "values"), at_least_float32(targets, "targets")
    clipped = old + (values - old).clamp(-clip, clip)
    larger = (clipped - targets).square() > (values - targets).square()
    return masked_mean(larger.to(values.dtype), mask)


@torch.no_grad()
def explained_variance(values: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """`1 - Var(targets - values) / Var(targets)` over counted tokens, a scalar: 1 is perfect, 0 a constant.

    Negative is worse than a constant. It is 0 when the targets do not vary (there is nothing to explain), or by no
    more than float32 rounding: targets that are sums of the same numbers differ in their last bits. It is finite: the
    dtype's least number stands for what lies below.
    """
    check_mask(mask, values=values, targets=targets)
    values, targets = at_least_float32(values, "values"), at_least_float32(targets, "targets")
    moments = masked_moments(targets, mask)
    total = moments.variance
    left = masked_moments(keep_counted(targets, mask) - keep_counted(values, mask), mask).variance
    varies = total > ROUNDING * (total + moments.mean.square())
    explained = torch.where(varies, 1.0 - left / torch.where(varies, total, 1.0), 0.0)
    return explained.clamp(min=torch.finfo(targets.dtype).min).to(targets.dtype)
