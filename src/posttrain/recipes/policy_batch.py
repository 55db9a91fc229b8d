"""The second half of a GRPO step before the update: rollouts and rewards -> `PolicyBatch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from posttrain import algorithms
from posttrain.algorithms import sampler_mismatch, truncated_importance_weights
from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.config.algorithm import AlgorithmSection
from posttrain.models.language_model import LanguageModel
from posttrain.models.reference import FrozenReference
from posttrain.recipes.groups import Groups, advantages_of
from posttrain.training.learner import Learner
from posttrain.training.objectives import KL_ESTIMATORS


@dataclass(frozen=True)
class PolicyBatchBuilder:
    """Turns one step's groups into the tensors of its update.

    Policy and reference run the rows of each mini-batch in the same micro-batches, here and in the update:
    so the first ratio is exactly 1 in float32, and the KL to the reference exactly 0 before the first step.
    """

    learner: Learner
    policy: LanguageModel
    reference: FrozenReference | None
    algorithm: AlgorithmSection
    temperature: float

    def build(
        self, groups: Groups, minibatches: Callable[[int], Sequence[Sequence[int]]]
    ) -> tuple[PolicyBatch, dict[str, float]]:
        """The batch of the rows that are trained on, and what is known of it before the update.

        `minibatches` plans the first epoch for a number of rows: the old logprobs follow that plan.
        """
        rows = groups.is_trained.nonzero()[:, 0]
        tokens = TokenBatch.from_rollouts([groups.rollouts[row] for row in rows.tolist()])
        plan = minibatches(len(tokens))
        old = self.learner.logprobs(tokens, self.temperature, minibatches=plan)
        rollout = _padded([groups.rollouts[row].rollout_logprobs for row in rows.tolist()], tokens)
        reference_logprobs, reference_hidden = self._reference(tokens, plan)
        metrics = {"rollout_mismatch": float(sampler_mismatch(old, rollout, tokens.response_mask))}

        rewards = groups.rewards.clone()
        if self.reference is not None:
            kl = self._kl(tokens, plan, old, reference_logprobs, reference_hidden)
            metrics["reference_kl"] = float(algorithms.masked_mean(kl, tokens.response_mask))
            if self.algorithm.kl_in == "reward":
                # One reward for a response, so its tokens' KL adds up: R - kl_coef * sum_t KL_t.
                rewards[rows] -= self.algorithm.kl_coef * kl.double().sum(dim=-1)
        advantages = advantages_of(groups, rewards, self.algorithm)[rows].float()

        cap = self.algorithm.importance_cap
        in_loss = self.reference is not None and self.algorithm.kl_in == "loss"
        batch = PolicyBatch(
            tokens=tokens,
            advantages=advantages[:, None].expand(tokens.response_mask.shape).contiguous(),
            old_logprobs=old,
            rollout_logprobs=rollout,
            reference_logprobs=reference_logprobs if in_loss else None,
            reference_hidden=reference_hidden if in_loss else None,
            importance_weights=None if cap is None else truncated_importance_weights(old, rollout, cap=cap),
        )
        return batch, metrics

    def _reference(
        self, tokens: TokenBatch, plan: Sequence[Sequence[int]]
    ) -> tuple[Tensor | None, Tensor | None]:
        """The reference's logprobs, or its hidden states where the KL is over whole distributions."""
        reference = self.reference
        if reference is None:
            return None, None
        if self.algorithm.kl.startswith("exact_"):
            return None, self.learner.per_token(tokens, reference.hidden_states, minibatches=plan)
        logprobs = partial(reference.logprobs, temperature=self.temperature)
        return self.learner.per_token(tokens, logprobs, minibatches=plan), None

    def _kl(
        self,
        tokens: TokenBatch,
        plan: Sequence[Sequence[int]],
        old: Tensor,
        reference_logprobs: Tensor | None,
        reference_hidden: Tensor | None,
    ) -> Tensor:
        """KL to the reference before the update, per response token, 0 where nothing counts; no graph."""
        if reference_logprobs is not None:
            kl = KL_ESTIMATORS[self.algorithm.kl](old, reference_logprobs)
            return torch.where(tokens.response_mask, kl, 0.0)
        assert reference_hidden is not None
        assert self.reference is not None
        return self.learner.per_token(tokens, self._exact_kl, reference_hidden, minibatches=plan)

    @torch.no_grad()
    def _exact_kl(self, part: TokenBatch, reference_hidden: Tensor) -> Tensor:
        assert self.reference is not None
        direction = "forward" if self.algorithm.kl == "exact_forward" else "reverse"
        statistics = self.policy.token_statistics(
            part,
            temperature=self.temperature,
            reference_hidden=reference_hidden,
            reference_head=self.reference.head,
            kl_direction=direction,  # type: ignore[arg-type]
        )
        assert statistics.exact_kl is not None
        return statistics.exact_kl


def _padded(rows: Sequence[Sequence[float]], tokens: TokenBatch) -> Tensor:
    padded = torch.zeros(tokens.response_mask.shape)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = torch.tensor(values)
    return padded
