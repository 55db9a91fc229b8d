"""What is known of a step's responses before its update: old logprobs, and the KL to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from posttrain.algorithms import masked_mean, sampler_mismatch, truncated_importance_weights
from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.models.language_model import LanguageModel
from posttrain.models.reference import FrozenReference
from posttrain.training.learner import Learner
from posttrain.training.objectives import KL_ESTIMATORS, KLKind
from posttrain.types import Rollout

Plan = Sequence[Sequence[int]]
"""The rows of each mini-batch of the first epoch."""


@dataclass(frozen=True)
class PolicyPass:
    """One step's rows as the policy and the reference see them before the update; `kl` is per response token.

    `reference_*` and `kl` are None without a reference; `old_logprobs` and `kl` where the update finds them itself.
    """

    tokens: TokenBatch
    old_logprobs: Tensor | None
    rollout_logprobs: Tensor
    reference_logprobs: Tensor | None
    reference_hidden: Tensor | None
    kl: Tensor | None

    @property
    def metrics(self) -> dict[str, float]:
        """How well engine and learner agree, and how far the policy is from the reference."""
        mask = self.tokens.response_mask
        found = {}
        if self.old_logprobs is not None:
            mismatch = sampler_mismatch(self.old_logprobs, self.rollout_logprobs, mask)
            found["rollout_mismatch"] = float(mismatch)
        if self.kl is not None:
            found["reference_kl"] = float(masked_mean(self.kl, mask))
        return found

    def batch(self, advantages: Tensor, *, kl_in_loss: bool, importance_cap: float | None) -> PolicyBatch:
        """The batch of the update, with these advantages `[rows, time]`."""
        weights = None
        if importance_cap is not None:
            assert self.old_logprobs is not None
            weights = truncated_importance_weights(
                self.old_logprobs, self.rollout_logprobs, cap=importance_cap
            )
        return PolicyBatch(
            tokens=self.tokens,
            advantages=advantages,
            old_logprobs=self.old_logprobs,
            rollout_logprobs=self.rollout_logprobs,
            reference_logprobs=self.reference_logprobs if kl_in_loss else None,
            reference_hidden=self.reference_hidden if kl_in_loss else None,
            importance_weights=weights,
        )


@dataclass(frozen=True)
class PolicyReader:
    """Makes the `PolicyPass` of rollouts.

    Policy and reference run the rows of each mini-batch in the same micro-batches, here and in the update:
    so the first ratio is exactly 1 in float32, and the KL to the reference exactly 0 before the first step.
    """

    learner: Learner
    policy: LanguageModel
    reference: FrozenReference | None
    kl: KLKind
    temperature: float

    def read(
        self, rollouts: Sequence[Rollout], tokens: TokenBatch, plan: Plan, *, is_only_update: bool = False
    ) -> PolicyPass:
        """Old logprobs, the sampler's, and the KL of these rollouts, whose tokens are `tokens`.

        With `is_only_update` the old logprobs and the KL are left to the update, which passes over the rows anyway.
        """
        old = None
        if not is_only_update:
            old = self.learner.logprobs(tokens, self.temperature, minibatches=plan)
        logprobs, hidden = self._reference(tokens, plan)
        return PolicyPass(
            tokens=tokens,
            old_logprobs=old,
            rollout_logprobs=_padded([rollout.rollout_logprobs for rollout in rollouts], tokens),
            reference_logprobs=logprobs,
            reference_hidden=hidden,
            kl=None if old is None else self._kl(tokens, plan, old, logprobs, hidden),
        )

    def _reference(self, tokens: TokenBatch, plan: Plan) -> tuple[Tensor | None, Tensor | None]:
        """The reference's logprobs, or its hidden states where the KL is over whole distributions."""
        if self.reference is None:
            return None, None
        if self.kl.startswith("exact_"):
            return None, self.learner.per_token(tokens, self.reference.hidden_states, minibatches=plan)
        logprobs = partial(self.reference.logprobs, temperature=self.temperature)
        return self.learner.per_token(tokens, logprobs, minibatches=plan), None

    def _kl(
        self, tokens: TokenBatch, plan: Plan, old: Tensor, logprobs: Tensor | None, hidden: Tensor | None
    ) -> Tensor | None:
        """KL to the reference before the update, per response token, 0 where nothing counts; no graph."""
        if logprobs is not None:
            return torch.where(tokens.response_mask, KL_ESTIMATORS[self.kl](old, logprobs), 0.0)
        if hidden is not None:
            return self.learner.per_token(tokens, self._exact_kl, hidden, minibatches=plan)
        return None

    @torch.no_grad()
    def _exact_kl(self, part: TokenBatch, reference_hidden: Tensor) -> Tensor:
        assert self.reference is not None
        direction: Literal["forward", "reverse"] = "forward" if self.kl == "exact_forward" else "reverse"
        statistics = self.policy.token_statistics(
            part,
            temperature=self.temperature,
            reference_hidden=reference_hidden,
            reference_head=self.reference.head,
            kl_direction=direction,
        )
        assert statistics.exact_kl is not None
        return statistics.exact_kl


def _padded(rows: Sequence[Sequence[float]], tokens: TokenBatch) -> Tensor:
    padded = torch.zeros(tokens.response_mask.shape)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = torch.tensor(values)
    return padded
