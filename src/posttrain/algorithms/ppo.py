"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347): surrogate, value loss, rewards, total."""

import torch
from torch import Tensor

from posttrain.algorithms.clipping import advantages_like, check_clips
from posttrain.algorithms.importance import importance_ratio
from posttrain.algorithms.inputs import at_least_float32, check_mask, check_same_shape
from posttrain.algorithms.masks import keep_counted, last_token_mask


def clipped_surrogate(
    log_ratio: Tensor,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> Tensor:
    """`-min(c A, clip(c, 1 - clip_low, 1 + clip_high) A)` per token, to be minimised: `[B, T]`.

    `c = exp(log_ratio)`. A > 0 is cut above `1 + clip_high` only, A < 0 below `1 - clip_low` only. Example: c
    = 3, clip 0.2: A = 1 gives -1.2 with gradient 0, A = -1 gives +3 with its full gradient; `dual_clip` (> 1,
    arXiv 1912.09729) bounds that side: the loss is at most `dual_clip * |A|`. An infinite clip switches its
    side off. `advantages` have the shape of `log_ratio`, or `[B, 1]` for one per response; no gradient
    reaches them.
    Raises ValueError for negative clips, a dual clip of 1 or less, or shapes that do not fit.

    Departs: the note and the paper write the maximised objective; this is its negative.
    """
    check_clips(clip_low, clip_high, dual_clip)
    advantages = advantages_like(log_ratio, advantages)
    ratio = importance_ratio(log_ratio)
    clipped = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    objective = torch.minimum(ratio * advantages, clipped * advantages)
    if dual_clip is not None:
        bounded = torch.maximum(objective, dual_clip * advantages)
        objective = torch.where(advantages < 0, bounded, objective)
    return -objective


def token_rewards(scores: Tensor, kl: Tensor | None, mask: Tensor, *, kl_coef: float) -> Tensor:
    """`-kl_coef * kl` on each counted token, the score added on the last counted one: `[B, T]`, no gradient.

    `scores [B]`, `kl [B, T]` per token (k1 of the sampled tokens is usual), or None with `kl_coef` 0. 0 under
    False.
    Raises ValueError for a score that is NaN or infinite on a row that counts: mask such a row out, because a
    made-up score would teach it. Source: Ziegler et al., arXiv 1909.08593; here the score stands on the end
    token itself.
    """
    check_mask(mask)
    check_same_shape(scores=scores, mask_rows=mask.any(dim=-1))
    scores = at_least_float32(scores.detach(), "scores")
    unscored = mask.any(dim=-1) & ~scores.isfinite()
    if bool(unscored.any()):
        rows = unscored.nonzero().flatten().tolist()
        raise ValueError(
            f"scores of rows {rows} are not finite: set the mask of rows that have no score to False"
        )
    rewards = keep_counted(scores.unsqueeze(-1).expand(mask.shape), last_token_mask(mask))
    if kl_coef == 0:
        return rewards
    if kl is None:
        raise ValueError(f"kl_coef is {kl_coef} but kl is None: pass the per-token KL, or set kl_coef to 0")
    check_mask(mask, kl=kl)
    return rewards - kl_coef * keep_counted(at_least_float32(kl.detach(), "kl"), mask)


def value_loss(
    values: Tensor, targets: Tensor, *, old_values: Tensor | None = None, clip: float | None = None
) -> Tensor:
    """`(V - target)^2` per token, the note's MSE with no 1/2: `[B, T]`; gradients reach the values only.

    `targets` are `returns` (GAE's, the usual ones) or `final_reward_targets` (the note's sg(R(s_T)) at every
    state). With `clip`: the larger of that and the squared error of V clipped to `old_values +- clip`, so
    that leaving the range never lowers the loss. Raises ValueError for a clip that is not positive or comes
    without `old_values`.

    Departs: common code has 1/2 in front; halve the coefficient of this term to reproduce it.
    """
    check_same_shape(values=values, targets=targets)
    values, targets = at_least_float32(values, "values"), at_least_float32(targets.detach(), "targets")
    error = (values - targets).square()
    if clip is None:
        return error
    if old_values is None or not clip > 0:
        raise ValueError(
            f"a clip ({clip}) must be positive and needs old_values, the critic's before the update"
        )
    check_same_shape(values=values, old_values=old_values)
    old = at_least_float32(old_values.detach(), "old_values")
    clipped_error = (old + (values - old).clamp(-clip, clip) - targets).square()
    return torch.maximum(error, clipped_error)


def ppo_total_loss(
    clip_loss: Tensor,
    *,
    entropy: Tensor | None = None,
    kl: Tensor | None = None,
    value_loss: Tensor | None = None,
    entropy_coef: float = 0.0,
    kl_coef: float = 0.0,
    value_coef: float = 0.0,
) -> Tensor:
    """`clip_loss - w1 entropy + w2 KL + w3 value_loss`, to be minimised; w = the coefficients, in that order.

    The terms are sums over the same units, or per token. A term with coefficient 0 is not read and may be
    None. The note's GRPO is this with KL alone. Raises ValueError for a coefficient without its term.

    Departs: the note writes the objective that is maximised; this is its negative.
    """
    total = clip_loss
    for name, term, weight in (
        ("entropy", entropy, -entropy_coef),
        ("kl", kl, kl_coef),
        ("value_loss", value_loss, value_coef),
    ):
        if weight != 0:
            if term is None:
                raise ValueError(f"the coefficient of {name} is not 0 but {name} is None: pass it or set 0")
            total = total + weight * term
    return total
