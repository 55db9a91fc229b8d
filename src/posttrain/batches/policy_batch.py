"""What a policy-gradient update needs to know of each response token."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from posttrain.batches.per_token import PerTokenBatch


@dataclass(frozen=True)
class PolicyBatch(PerTokenBatch):
    """What a policy-gradient update needs: tokens, advantages and the logprobs from before the update.

    `old_logprobs` None says that the policy is still the one that the rollouts come from, as with one update per
    rollout: its logprobs in the update are the old ones, every ratio is 1, and no pass of their own is needed.

    All `[rows, time]` tensors are float32 and arbitrary where `tokens.response_mask` is False.
    `reference_logprobs` and `reference_hidden` are None when no KL to a reference is asked for;
    `reference_hidden` (the reference's last hidden states) is kept only for the exact KL, which needs whole
    distributions: hidden states are `vocabulary / width` times smaller than those.
    `importance_weights` are detached factors that correct for a sampler whose probabilities differ; or None.
    """

    advantages: Float[Tensor, "rows time"]
    old_logprobs: Float[Tensor, "rows time"] | None
    rollout_logprobs: Float[Tensor, "rows time"]
    reference_logprobs: Float[Tensor, "rows time"] | None = None
    reference_hidden: Float[Tensor, "rows time width"] | None = None
    importance_weights: Float[Tensor, "rows time"] | None = None
