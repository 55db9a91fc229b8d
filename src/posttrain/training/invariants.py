"""What must hold in any correct run: each function is silent, or raises InvariantError with likely causes.

They run inside real training, every step: all of them read numbers that the step has anyway.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from posttrain.batches import PolicyBatch
from posttrain.errors import InvariantError
from posttrain.types import Rollout

RATIO_TOLERANCE: dict[torch.dtype, float] = {torch.float64: 0.0, torch.float32: 0.0, torch.bfloat16: 1e-3}
"""How far the first ratio may be from 1.

`Learner.logprobs` and `Learner.update` run the same rows in the same micro-batches through the same kernels,
so float32 must agree to the last bit. In bfloat16 it does too where kernels are deterministic; 1e-3 leaves
room for atomics in GPU kernels, and is far below what a bug makes: any wrong temperature, shift or dropout
moves single tokens by 1e-2 and more, and one bfloat16 rounding of a logit near 16 by 6e-2.
"""
OTHER_SPLIT_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.5}
"""The same after the split was changed by running out of memory: other company rounds otherwise."""

SAMPLER_MISMATCH_WARNING = 1.05


def check_first_ratio(metrics: Mapping[str, float], dtype: torch.dtype) -> None:
    """On the first mini-batch after a rollout the policy has not moved, so every ratio is 1.

    `metrics` are those of `Learner.update`, `dtype` is the model's. Pass it as `update(..., check=...)`, so
    that it runs before the step.
    """
    if "ratio_deviation" not in metrics:  # nothing was counted
        return
    same_split = metrics.get("microbatch_retries", 0.0) == 0.0
    tolerance = (RATIO_TOLERANCE if same_split else OTHER_SPLIT_TOLERANCE).get(dtype, 1e-3)
    deviation = metrics["ratio_deviation"]
    if not deviation <= tolerance:  # also NaN
        raise InvariantError(
            "before the first update the ratio of policy_logprobs to old_logprobs is off 1 by "
            f"{deviation:.3g} (allowed for {dtype}: {tolerance:g}), so the two are not the same quantity. "
            "Usual causes: dropout is on; old_logprobs come from another temperature, from older weights, "
            "from the engine instead of Learner.logprobs, or from another split into mini-batches (pass it "
            "the same ones)."
        )


def check_reference_kl_is_zero(kl: float, *, tolerance: float = 1e-6) -> None:
    """At step 0 the policy is the reference, so their KL is 0 (up to rounding in another kernel)."""
    if not abs(kl) <= tolerance:
        raise InvariantError(
            f"the KL between policy and reference is {kl:.3g} at step 0, before anything was trained "
            f"(allowed: {tolerance:g}). The reference is not the model that training starts from, or runs at "
            "another temperature or precision: check its path, its dtype, and that an adapter is switched "
            "off in it."
        )


def check_finite(name: str, tensor: Tensor, mask: Tensor | None = None) -> None:
    """No NaN and no infinity where the mask counts; says how many there are and where the first one is."""
    bad = ~tensor.isfinite()
    if mask is not None:
        bad &= mask
    if bool(bad.any()):
        where = bad.nonzero()[0].tolist()
        raise InvariantError(
            f"{name} has {int(bad.sum())} values that are NaN or infinite, the first at {where}: "
            f"{float(tensor[tuple(where)])}. Training on them would destroy the weights. Look at the rewards "
            "and at the logprobs of that row; in half precision try float32."
        )


def check_policy_batch(batch: PolicyBatch) -> None:
    """Advantages and logprobs are finite where they count, and only sampled tokens count."""
    tokens = batch.tokens
    mask = tokens.response_mask
    steps = torch.arange(mask.shape[1], device=mask.device)
    outside = mask & (steps[None, :] >= tokens.response_lengths[:, None])
    if bool(outside.any()):
        raise InvariantError(
            f"response_mask counts {int(outside.sum())} positions behind the end of a response (row "
            f"{int(outside.nonzero()[0, 0])}): only tokens that the policy sampled may be trained on."
        )
    check_finite("advantages", batch.advantages, mask)
    check_finite("rollout_logprobs", batch.rollout_logprobs, mask)
    for name in ("old_logprobs", "reference_logprobs", "importance_weights"):
        tensor = getattr(batch, name)
        if tensor is not None:
            check_finite(name, tensor, mask)
    for name in ("old_logprobs", "rollout_logprobs"):
        tensor = getattr(batch, name)
        if tensor is None or not mask.numel():
            continue
        highest = float(tensor.masked_fill(~mask, -math.inf).amax())
        if highest > 1e-3:
            raise InvariantError(f"{name} reaches {highest:.3g}: a log-probability is never above 0.")


def check_policy_versions(rollouts: Iterable[Rollout], *, policy_version: int) -> None:
    """All rollouts were sampled with the weights that the learner has now."""
    stale = [rollout for rollout in rollouts if rollout.policy_version != policy_version]
    if stale:
        raise InvariantError(
            f"{len(stale)} rollouts come from policy version {stale[0].policy_version}, but the learner is "
            f"at {policy_version}: the engine did not get the last weights. Call engine.load_weights after "
            "every update, and after a resume before the first rollout."
        )


def check_sampler_mismatch(
    mismatch: float, *, warn_above: float = SAMPLER_MISMATCH_WARNING, stop_above: float | None = None
) -> None:
    """`algorithms.importance.sampler_mismatch` is near 1; warns above one bound, stops above the other."""
    explanation = (
        f"the engine's probabilities differ from the learner's by a factor of {mismatch:.4f} on average (1 "
        "is a perfect match). Usual causes: another temperature, stale weights, top_k/top_p/min_p or a "
        "repetition penalty in the engine, or another precision. Importance weights correct a small gap only."
    )
    if stop_above is not None and not mismatch <= stop_above:
        raise InvariantError(f"{explanation} The run stops above {stop_above:g}.")
    if not mismatch <= warn_above:
        warnings.warn(explanation, stacklevel=2)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A text that is the same for the same names and bits, on any device."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        digest.update(name.encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_replicas_equal(fingerprints: Sequence[str]) -> None:
    """All ranks hold the same weights; adding their gradients means nothing otherwise."""
    different = [rank for rank, text in enumerate(fingerprints) if text != fingerprints[0]]
    if different:
        raise InvariantError(
            f"ranks {different} start from other weights than rank 0, so their gradients do not belong "
            "together. Load the same model folder, adapter seed and checkpoint on every rank."
        )
