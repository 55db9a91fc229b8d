"""How far the policy is from a reference: the exact divergence, three estimators, an adaptive coefficient.

Where it acts is a separate choice: as a term of the loss, or inside the per-token reward (`token_rewards`).
"""

from typing import Literal

import torch
from torch import Tensor

from posttrain.algorithms.inputs import at_least_float32, check_same_shape
from posttrain.algorithms.logprobs import log_probabilities

KLDirection = Literal["forward", "reverse"]


def exact_kl(
    policy_logits: Tensor, reference_logits: Tensor, *, direction: KLDirection, temperature: float = 1.0
) -> Tensor:
    """The divergence of each state over the whole vocabulary: two `[B, T, V] -> [B, T]`, in nats.

    `"forward"`: `KL(reference || policy) = sum_v q_v (log q_v - log p_v)`, the note's formula of its PPO
    section.
    `"reverse"`: `KL(policy || reference) = sum_v p_v (log p_v - log q_v)`, the usual RLHF penalty and the
    note's GRPO. Gradients reach the policy only. A token that the first distribution cannot emit contributes
    0; one that only the second cannot emit makes the divergence infinite, as it is.
    Raises ValueError for another direction, shapes that differ, or a temperature that is not positive.
    """
    check_same_shape(policy_logits=policy_logits, reference_logits=reference_logits)
    policy = log_probabilities(policy_logits, temperature=temperature)
    reference = log_probabilities(reference_logits.detach(), temperature=temperature)
    if direction == "forward":
        return _divergence(reference, policy)
    if direction == "reverse":
        return _divergence(policy, reference)
    raise ValueError(
        f"unknown direction {direction!r}: choose 'forward' (ref || policy) or 'reverse' (policy || ref)"
    )


def _divergence(first: Tensor, second: Tensor) -> Tensor:
    """`sum_v first_v (log first_v - log second_v)`, with no 0 * inf where the first is 0, nor in slopes."""
    impossible = first == -torch.inf
    difference = torch.where(impossible, 0.0, first) - torch.where(impossible, 0.0, second)
    return (first.exp() * difference).sum(dim=-1)


def k1(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """`log p - log q` of the sampled token: `[B, T]`, unbiased for KL(policy || reference), can be negative.

    With `d = reference - policy` it is `-d`. In the per-token reward it gives the gradient of the reverse KL.
    As a loss on policy it does nothing: the expected gradient is zero.
    """
    return -_difference(policy_logprobs, reference_logprobs)


def k2(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """`(log p - log q)^2 / 2` of the sampled token: `[B, T]`, never negative, biased as a value.

    As a loss on policy its expected gradient is that of the reverse KL(policy || reference).
    """
    return _difference(policy_logprobs, reference_logprobs).square() / 2


def k3(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """`exp(d) - d - 1` with `d = log q - log p` of the sampled token: `[B, T]`, never negative, unbiased.

    As a loss on policy its expected gradient is that of the FORWARD KL(reference || policy): `p - q`.
    Source: J. Schulman, "Approximating KL divergence" (k1, k2, k3); GRPO's papers use this one.
    `d` is not clamped, so a reference far more likely than the policy shows as the huge number it is.
    """
    difference = _difference(policy_logprobs, reference_logprobs)
    return torch.expm1(difference) - difference


def _difference(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    check_same_shape(policy_logprobs=policy_logprobs, reference_logprobs=reference_logprobs)
    reference = at_least_float32(reference_logprobs.detach(), "reference_logprobs")
    return reference - at_least_float32(policy_logprobs, "policy_logprobs")


def adaptive_kl_coef(
    kl_coef: float, observed_kl: float, *, target: float, num_steps: int, horizon: int
) -> float:
    """The next KL coefficient, raised when the observed KL is above the target and lowered below it.

    `kl_coef * (1 + clip(observed / target - 1, -0.2, 0.2) * num_steps / horizon)`, Ziegler et al., arXiv
    1909.08593. `observed_kl` and `target` are nats per SEQUENCE there (their target is 6); any unit works if
    both have it. `num_steps` counts the sequences since the last call. Raises ValueError unless target and
    horizon are positive.
    """
    if target <= 0 or horizon <= 0:
        raise ValueError(f"target and horizon must be positive, got target {target} and horizon {horizon}")
    error = min(max(observed_kl / target - 1.0, -0.2), 0.2)
    return kl_coef * (1.0 + error * num_steps / horizon)
