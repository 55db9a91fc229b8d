"""Advantages from a group of responses to one prompt, in place of a critic: GRPO, Dr. GRPO, RLOO.

GRPO's policy loss is `clipped_surrogate` at the chosen level of `log_ratio`.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from posttrain.algorithms.inputs import at_least_float32, check_same_shape

AdvantageScale = Literal["std", "none"]


def group_relative_advantages(
    rewards: Tensor, group_ids: Tensor, *, scale: AdvantageScale = "std", epsilon: float = 0.0
) -> Tensor:
    """`(R_i - mean) / (std + epsilon)` inside each group: `[B], [B] -> [B]`, no gradient.

    The dtype is that of the rewards. Groups are rows with equal integer `group_ids`, in any order and of any
    sizes. std is the sample one (n - 1), as in TRL, verl and OpenRLHF; the note names none. `scale="none"`
    leaves out the division (Dr. GRPO, arXiv 2503.20783). A reward of NaN or +-inf could not be scored: it is
    left out of the statistics, gets 0 and should not be trained on. A group with equal rewards or a single
    valid member gets exactly 0, tested on the rewards and not on a small std. Statistics are in float64 and
    in sorted order, so a permutation of the rows permutes the result to the bit.
    Raises ValueError for an unknown scale, a negative epsilon, ids that are not integers, or shapes that
    differ.
    Source: DeepSeekMath, arXiv 2402.03300.

    Departs: the paper and the note divide by std alone; so does the default here, libraries add 1e-6 to 1e-4.
    """
    if scale not in ("std", "none"):
        raise ValueError(f"unknown scale {scale!r}: choose 'std' (GRPO) or 'none' (Dr. GRPO)")
    if not epsilon >= 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    groups = _grouped(rewards, group_ids)
    if scale == "none":
        return _back(groups.deviation, rewards)
    # in units of the group's largest deviation, so that squares neither underflow nor overflow
    largest = _per_group(groups.deviation.abs(), groups, "amax")
    safe = torch.where(largest > 0, largest, 1.0)
    relative = groups.deviation / safe
    std = (_per_group(relative.square(), groups, "sum") / (groups.size - 1).clamp(min=1)).sqrt()
    std = torch.where(largest > 0, std, 1.0)
    return _back(relative / (std + epsilon / safe), rewards)


def leave_one_out_advantages(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """`R_i` minus the mean reward of the OTHERS of its group: `[B], [B] -> [B]`, no gradient (RLOO).

    Equal to n/(n-1) (R_i - mean). The baseline does not depend on response i, so the policy gradient is
    unbiased; with the group mean it is (n-1)/n of the true one. NaN, groups and errors are as in
    `group_relative_advantages`.
    Source: Kool et al., 2019; Ahmadian et al., arXiv 2402.14740.
    """
    groups = _grouped(rewards, group_ids)
    return _back(groups.deviation * groups.size / (groups.size - 1).clamp(min=1), rewards)


def informative_groups(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """True for the rows of groups that hold at least two different valid rewards: `[B], [B] -> [B]`, boolean.

    The others have advantage 0 throughout. DAPO's dynamic sampling (arXiv 2503.14476) replaces them; look at
    the raw rewards, before any length penalty makes equal answers differ.
    """
    return _grouped(rewards, group_ids).varies.to(rewards.device)


class _Groups(NamedTuple):
    """Per row: the group's position, valid members, R_i - mean (0 if invalid or all equal), if any differ."""

    position: Tensor
    size: Tensor
    deviation: Tensor
    varies: Tensor


@torch.no_grad()
def _grouped(rewards: Tensor, group_ids: Tensor) -> _Groups:
    check_same_shape(rewards=rewards, group_ids=group_ids)
    if rewards.dim() != 1:
        raise ValueError(f"rewards must be [B], one per response, got {list(rewards.shape)}")
    if group_ids.is_floating_point() or group_ids.dtype == torch.bool:
        raise ValueError(f"group_ids must be integers, one id per prompt, got {group_ids.dtype}")
    # [B] numbers: on the CPU, where sums have a fixed order and float64 always exists
    exact = at_least_float32(rewards, "rewards").to("cpu", torch.float64)
    position = torch.unique(group_ids.cpu(), return_inverse=True)[1]
    valid = exact.isfinite()
    counted = torch.where(valid, exact, 0.0)
    blank = _Groups(position, torch.zeros_like(exact), counted, valid)
    size = _per_group(valid.double(), blank, "sum")
    highest = _per_group(torch.where(valid, exact, -torch.inf), blank, "amax")
    lowest = _per_group(torch.where(valid, exact, torch.inf), blank, "amin")
    varies = highest > lowest
    mean = _per_group(counted, blank, "sum") / size.clamp(min=1)
    return _Groups(position, size, torch.where(valid & varies, exact - mean, 0.0), varies)


def _per_group(x: Tensor, groups: _Groups, reduce: Literal["sum", "amax", "amin"]) -> Tensor:
    """The group's sum, maximum or minimum of `x`, on each of its rows; summed in order of size."""
    order = x.argsort(stable=True)
    identity = {"sum": 0.0, "amax": -torch.inf, "amin": torch.inf}[reduce]
    slots = torch.full((int(groups.position.max()) + 1 if x.numel() else 0,), identity, dtype=x.dtype)
    return slots.scatter_reduce(0, groups.position[order], x[order], reduce)[groups.position]


def _back(advantages: Tensor, rewards: Tensor) -> Tensor:
    dtype = rewards.dtype if rewards.dtype == torch.float64 else torch.float32
    return advantages.to(rewards.device, dtype)
