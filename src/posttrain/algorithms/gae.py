"""Generalised advantage estimation (Schulman et al., arXiv 1506.02438), its two ends, and the returns."""

import torch
from torch import Tensor

from posttrain.algorithms.inputs import at_least_float32, check_mask, check_same_shape
from posttrain.algorithms.masks import keep_counted


@torch.no_grad()
def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    gae_lambda: float = 0.95,
    horizon: int | None = None,
    bootstrap_values: Tensor | None = None,
) -> Tensor:
    """`A_t = sum_{i < min(K, T-t)} (gamma lambda)^i delta_{t+i}` with K = `horizon`: `[B, T]`, no gradient.

    `delta_t = r_t + gamma V(s_{t+1}) - V(s_t)`. `rewards[t]` is received for emitting token t, `values[t]` is
    the critic BEFORE token t. After the last counted token V is 0, or `bootstrap_values [B]`: give V(s_T) for
    a response that was cut and not scored, 0 for one that ended or was scored as it stands (or it counts
    twice). Time runs over counted tokens only: padding and tool tokens cost no step of gamma, lambda or K,
    their rewards and values (NaN too) are never read, and they get 0. `horizon=None` sums to the end, 1 is
    TD(0).
    A single row `[T]` works too. K steps of any size cost log2(K) vector operations.
    Raises ValueError for gamma or lambda outside 0..1, a horizon below 1, a mask that is not boolean, other
    shapes.

    Departs: the note writes A for t = 0 with gamma = 1, no reward in delta and K < T; here every t has its
    own window, K may reach or pass the end (the sum then stops there), and with r_t = 0 before the end the
    deltas are the note's.
    """
    for name, value in (("gamma", gamma), ("gae_lambda", gae_lambda)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    if horizon is not None and horizon < 1:
        raise ValueError(
            f"horizon must be at least 1 step, got {horizon}; None sums to the end of the response"
        )
    check_mask(mask, rewards=rewards, values=values)
    rewards, values = at_least_float32(rewards, "rewards"), at_least_float32(values, "values")
    if bootstrap_values is None:
        bootstrap_values = torch.zeros_like(values[..., 0]) if mask.shape[-1] else values.sum(-1)
    check_same_shape(bootstrap_values=bootstrap_values, mask_rows=mask.any(dim=-1))

    # Counted tokens first, in order: in this compressed time the next token is the next column.
    order = (~mask).to(torch.int8).argsort(dim=-1, stable=True)
    counted = mask.gather(-1, order)
    rewards = keep_counted(rewards.gather(-1, order), counted)
    values = keep_counted(values.gather(-1, order), counted)
    is_last = torch.arange(mask.shape[-1], device=mask.device) == mask.sum(dim=-1, keepdim=True) - 1
    bootstrap = bootstrap_values.to(values.dtype).unsqueeze(-1).expand_as(values)
    next_values = torch.where(is_last, bootstrap, _shifted(values, 1))
    deltas = keep_counted(rewards + gamma * next_values - values, counted)

    steps = mask.shape[-1] if horizon is None else min(horizon, mask.shape[-1])
    advantages = _window_sums(deltas, gamma * gae_lambda, steps)
    return torch.zeros_like(advantages).scatter(-1, order, keep_counted(advantages, counted))


def _shifted(x: Tensor, steps: int) -> Tensor:
    """`x[..., t + steps]` at t, zeros past the end."""
    return torch.nn.functional.pad(x[..., steps:], (0, min(steps, x.shape[-1])))


def _window_sums(deltas: Tensor, decay: float, steps: int) -> Tensor:
    """`sum_{i < steps} decay^i deltas[t + i]` for every t, by doubling the window.

    A window of 2n is a window of n plus the decayed next window of n; `steps` is put together from its binary
    digits.
    """
    if decay == 0.0:
        return deltas if steps else torch.zeros_like(deltas)
    total, covered = torch.zeros_like(deltas), 0
    window, size = deltas, 1
    while covered < steps:
        if steps & size:
            total = total + decay**covered * _shifted(window, covered)
            covered += size
        if covered < steps:
            window = window + decay**size * _shifted(window, size)
            size *= 2
    return total


def temporal_difference_advantages(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    bootstrap_values: Tensor | None = None,
) -> Tensor:
    """`A_t = delta_t`: one step, low variance, biased by the critic; `[B, T]`. GAE with lambda 0."""
    return generalized_advantages(
        rewards, values, mask, gamma=gamma, gae_lambda=0.0, bootstrap_values=bootstrap_values
    )


def monte_carlo_advantages(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    bootstrap_values: Tensor | None = None,
) -> Tensor:
    """`A_t = sum_i gamma^i r_{t+i} - V(s_t)`: unbiased, high variance; `[B, T]`. GAE with lambda 1."""
    return generalized_advantages(
        rewards, values, mask, gamma=gamma, gae_lambda=1.0, bootstrap_values=bootstrap_values
    )


@torch.no_grad()
def returns(advantages: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """`A_t + V(s_t)`, what the critic is trained towards: `[B, T]`, 0 under False, no gradient.

    Give the RAW advantages: whitened ones would shift and rescale the targets.
    """
    check_mask(mask, advantages=advantages, values=values)
    total = at_least_float32(advantages, "advantages") + at_least_float32(values, "values")
    return keep_counted(total, mask)
