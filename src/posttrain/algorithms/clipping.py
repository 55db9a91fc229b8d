"""Which tokens the clipped surrogate cuts, side by side, and what it asks of its arguments."""

from typing import NamedTuple

import torch
from torch import Tensor

from posttrain.algorithms.aggregation import masked_mean
from posttrain.algorithms.importance import importance_ratio
from posttrain.algorithms.inputs import at_least_float32


def check_clips(clip_low: float, clip_high: float, dual_clip: float | None) -> None:
    """Raise ValueError for a negative clip or a dual clip of 1 or less."""
    if not (clip_low >= 0 and clip_high >= 0):
        raise ValueError(
            f"clips are distances from 1 and not negative, got clip_low {clip_low}, clip_high {clip_high}"
        )
    if dual_clip is not None and not dual_clip > 1:
        raise ValueError(f"dual_clip must be above 1, got {dual_clip}: 3 is usual, None switches it off")


def advantages_like(log_ratio: Tensor, advantages: Tensor) -> Tensor:
    """`advantages [B, T]` or `[B, 1]`, detached, in the shape of `log_ratio`; else ValueError."""
    advantages = at_least_float32(advantages.detach(), "advantages")
    if advantages.shape != log_ratio.shape and advantages.shape != (*log_ratio.shape[:-1], 1):
        raise ValueError(
            f"advantages {list(advantages.shape)} must have the shape of log_ratio {list(log_ratio.shape)}, "
            "or [B, 1]: pass advantages[:, None] for one per response"
        )
    return advantages.expand_as(log_ratio)


class ClippedTokens(NamedTuple):
    """Per token or as a fraction: gradient cut below (A < 0), above (A > 0), by the dual clip (A < 0)."""

    low: Tensor
    high: Tensor
    dual: Tensor


@torch.no_grad()
def clipped_tokens(
    log_ratio: Tensor,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> ClippedTokens:
    """Which tokens have their gradient cut, by side: three boolean `[B, T]`; same arguments as the surrogate.

    `low`: c < 1 - clip_low and A < 0; `high`: c > 1 + clip_high and A > 0; `dual`: c > dual_clip and A < 0.
    A ratio outside the range on the other side is not clipped; |c - 1| > clip would count it.
    """
    check_clips(clip_low, clip_high, dual_clip)
    advantages = advantages_like(log_ratio, advantages)
    ratio = importance_ratio(log_ratio)
    low = (ratio < 1.0 - clip_low) & (advantages < 0)
    high = (ratio > 1.0 + clip_high) & (advantages > 0)
    dual = (ratio > dual_clip) & (advantages < 0) if dual_clip is not None else torch.zeros_like(low)
    return ClippedTokens(low, high, dual)


def clip_fractions(
    log_ratio: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> ClippedTokens:
    """The fractions of counted tokens whose gradient is cut, three scalars; see `clipped_tokens`."""
    cut = clipped_tokens(log_ratio, advantages, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip)
    dtype = at_least_float32(log_ratio, "log_ratio").dtype
    return ClippedTokens(*(masked_mean(side.to(dtype), mask) for side in cut))
