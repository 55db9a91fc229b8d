"""What a step minimises: batch -> number of units, micro-batch -> loss summed over units."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posttrain.algorithms.aggregation import AggregationMode, aggregate
from posttrain.algorithms.clipping import check_clips, clipped_tokens
from posttrain.algorithms.importance import (
    RatioLevel,
    importance_ratio,
    log_ratio,
    old_policy_kl,
    sampler_mismatch,
)
from posttrain.algorithms.kl import k1, k2, k3
from posttrain.algorithms.masks import keep_counted
from posttrain.algorithms.ppo import clipped_surrogate
from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.errors import ConfigError
from posttrain.training.metrics import Metrics

KLKind = Literal["k1", "k2", "k3", "exact_forward", "exact_reverse"]
KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}


class Batch(Protocol):
    """Rows that can be split: what the learner needs to know of any batch."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """Tokens of each row, which a micro-batch budget counts."""
        ...

    @property
    def prompt_groups(self) -> list[int]:
        """Rows with one number have their beginning in common, so they cost less beside each other."""
        ...

    def select(self, rows: list[int]) -> Self:
        """These rows, without padding that none of them needs."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        ...


BatchT = TypeVar("BatchT", bound=Batch)
BatchT_contra = TypeVar("BatchT_contra", bound=Batch, contravariant=True)


class Objective(Protocol[BatchT_contra]):
    """A loss as a sum over units; knows no device, no rank and no optimiser.

    A unit is what the loss is a mean over: a token, a sequence or a pair. The learner divides the sums of all
    micro-batches by the units of the whole batch on all ranks, so no split changes the gradient.
    """

    def num_units(self, batch: BatchT_contra) -> float:
        """Units of a whole batch, read from its masks before any forward pass."""
        ...

    def counted_rows(self, batch: BatchT_contra) -> Bool[Tensor, " rows"]:
        """The rows that need computing; the others add nothing but may still be units."""
        ...

    def __call__(self, model: Any, microbatch: BatchT_contra) -> tuple[Tensor, Metrics]:
        """The loss summed over the micro-batch's units, with its graph, and what to log."""
        ...


class TokenStatistics(Protocol):
    """Per response token, `[rows, time]`, in at least float32; None where it was not asked for."""

    logprobs: Tensor
    entropy: Tensor | None
    exact_kl: Tensor | None


class PolicyModel(Protocol):
    """The part of a `LanguageModel` that policy objectives use."""

    def token_statistics(
        self,
        tokens: TokenBatch,
        *,
        temperature: float,
        entropy: bool = False,
        reference_hidden: Tensor | None = None,
        reference_head: Any = None,
        kl_direction: Any = None,
    ) -> Any:
        """`TokenStatistics` of every response token."""
        ...


@dataclass(frozen=True)
class PolicyGradient:
    """The clipped policy loss of GRPO and PPO: `clip_loss + kl_coef * KL - entropy_coef * entropy`.

    `aggregation` says what a unit is, for all three terms alike: `"token"` (DAPO) counts response tokens,
    `"sequence"` (the note's GRPO: 1/N over responses) rows with a counted token, `"sequence_sum"` and
    `"constant"` (Dr. GRPO, needs `max_response_length`) rows.
    `kl` as a loss on the policy: k1 has no expected gradient, k2 that of the reverse KL, k3 that of the
    forward KL; the exact ones are sums over the vocabulary and need `reference_hidden` in the batch and
    `reference_head` here. Samples come from the old policy; the estimators are not reweighted by the ratio,
    so beyond the first mini-batch they are estimates under the old policy (as in DeepSeekMath's GRPO).
    With `kl_coef=0` no reference is read; with `entropy_coef=0` the entropy is still logged, unless
    `log_entropy=False`.

    Example: GRPO as in the note, one update per rollout:
        PolicyGradient(ratio_level="sequence", aggregation="sequence", clip_low=0.2, clip_high=0.2,
                       temperature=1.0, kl_coef=0.04, kl="k3")
    """

    clip_low: float
    clip_high: float
    temperature: float
    ratio_level: RatioLevel = "token"
    aggregation: AggregationMode = "sequence"
    dual_clip: float | None = None
    max_response_length: int | None = None
    kl_coef: float = 0.0
    kl: KLKind = "k3"
    entropy_coef: float = 0.0
    log_entropy: bool = True
    reference_head: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            check_clips(self.clip_low, self.clip_high, self.dual_clip)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"temperature must be positive and finite, got {self.temperature}: train at the temperature "
                "that the responses were sampled with"
            )
        if self.ratio_level not in ("token", "sequence", "sequence_mean"):
            raise ConfigError(
                f"unknown ratio_level {self.ratio_level!r}: choose 'token', 'sequence' or 'sequence_mean'"
            )
        if self.aggregation not in ("token", "sequence", "sequence_sum", "constant"):
            raise ConfigError(
                f"unknown aggregation {self.aggregation!r}: choose 'token', 'sequence', 'sequence_sum' or "
                "'constant'"
            )
        if self.aggregation == "constant" and not (self.max_response_length or 0) > 0:
            raise ConfigError(
                "aggregation 'constant' divides by max_response_length: set it to the token budget"
            )
        if self.kl not in (*KL_ESTIMATORS, "exact_forward", "exact_reverse"):
            raise ConfigError(
                f"unknown kl {self.kl!r}: choose 'k1', 'k2', 'k3', 'exact_forward' or 'exact_reverse'"
            )
        if self.kl_coef < 0 or self.entropy_coef < 0:
            raise ConfigError(
                f"kl_coef ({self.kl_coef}) and entropy_coef ({self.entropy_coef}) are weights of a penalty "
                "and of a bonus, so neither is negative"
            )

    def num_units(self, batch: PolicyBatch) -> float:
        """Counted tokens, rows with a counted token, or rows, by `aggregation`."""
        mask = batch.tokens.response_mask
        if self.aggregation == "token":
            return float(mask.sum())
        if self.aggregation == "sequence":
            return float(mask.any(dim=-1).sum())
        return float(len(batch))

    def counted_rows(self, batch: PolicyBatch) -> Bool[Tensor, " rows"]:
        """Rows with a counted token: the same that `Learner.logprobs` computes."""
        return batch.tokens.response_mask.any(dim=-1)

    def __call__(self, model: PolicyModel, microbatch: PolicyBatch) -> tuple[Tensor, Metrics]:
        """The summed loss of these rows and every term of it on its own."""
        mask = microbatch.tokens.response_mask
        statistics = self._statistics(model, microbatch)
        # What stands behind a row's end is arbitrary, NaN included: it must not enter any function below.
        policy_logprobs = keep_counted(statistics.logprobs, mask)
        old_logprobs = policy_logprobs.detach()
        if microbatch.old_logprobs is not None:
            old_logprobs = keep_counted(microbatch.old_logprobs.detach(), mask)
        advantages = keep_counted(microbatch.advantages.detach(), mask)
        ratios = log_ratio(policy_logprobs, old_logprobs, mask, level=self.ratio_level)
        surrogate = clipped_surrogate(
            ratios, advantages, clip_low=self.clip_low, clip_high=self.clip_high, dual_clip=self.dual_clip
        )
        if microbatch.importance_weights is not None:
            # Corrects for the sampler, after min and clip, so that the clip range is the policy's own.
            surrogate = surrogate * keep_counted(microbatch.importance_weights.detach(), mask)
        loss, units = self._sum(surrogate, mask)
        metrics = Metrics().mean("clip_loss", total=loss, count=units)
        if self.kl_coef > 0:
            per_token_kl = self._kl(statistics, policy_logprobs, microbatch)
            kl, _ = self._sum(per_token_kl, mask)
            metrics.mean("kl_loss", total=self.kl_coef * kl, count=units)
            metrics.mean("reference_kl", total=per_token_kl.double().sum(), count=mask.sum())
            loss = loss + self.kl_coef * kl
        if self.entropy_coef > 0:
            entropy, _ = self._sum(keep_counted(statistics.entropy, mask), mask)
            metrics.mean("entropy_bonus", total=self.entropy_coef * entropy, count=units)
            loss = loss - self.entropy_coef * entropy
        metrics.mean("loss", total=loss, count=units)
        self._measure(
            metrics, microbatch, ratios.detach(), policy_logprobs.detach(), old_logprobs, statistics.entropy
        )
        return loss, metrics

    def _statistics(self, model: PolicyModel, microbatch: PolicyBatch) -> Any:
        exact = self.kl_coef > 0 and self.kl.startswith("exact_")
        if exact and (microbatch.reference_hidden is None or self.reference_head is None):
            raise ConfigError(
                f"kl {self.kl!r} compares whole distributions and needs the reference's: fill "
                "PolicyBatch.reference_hidden and PolicyGradient.reference_head, or choose kl 'k2' or 'k3'"
            )
        reference = (
            {
                "reference_hidden": microbatch.reference_hidden,
                "reference_head": self.reference_head,
                "kl_direction": self.kl.removeprefix("exact_"),
            }
            if exact
            else {}
        )
        with_entropy = self.entropy_coef > 0 or self.log_entropy
        return model.token_statistics(
            microbatch.tokens, temperature=self.temperature, entropy=with_entropy, **reference
        )

    def _sum(
        self, per_token: Float[Tensor, "rows time"], mask: Bool[Tensor, "rows time"]
    ) -> tuple[Tensor, Tensor]:
        return aggregate(per_token, mask, mode=self.aggregation, max_length=self.max_response_length)

    def _kl(self, statistics: Any, policy_logprobs: Tensor, microbatch: PolicyBatch) -> Tensor:
        mask = microbatch.tokens.response_mask
        if self.kl.startswith("exact_"):
            return keep_counted(statistics.exact_kl, mask)
        if microbatch.reference_logprobs is None:
            raise ConfigError(
                f"kl_coef is {self.kl_coef} but the batch has no reference_logprobs: compute them, or set "
                "kl_coef to 0"
            )
        return KL_ESTIMATORS[self.kl](policy_logprobs, keep_counted(microbatch.reference_logprobs, mask))

    @torch.no_grad()
    def _measure(
        self,
        metrics: Metrics,
        microbatch: PolicyBatch,
        ratios: Tensor,
        policy_logprobs: Tensor,
        old_logprobs: Tensor,
        entropy: Any,
    ) -> None:
        """Adds what says whether the update is healthy; every mean is over counted tokens."""
        mask = microbatch.tokens.response_mask
        tokens = mask.sum()

        def mean(name: str, per_token: Tensor) -> None:
            metrics.mean(name, total=keep_counted(per_token, mask).double().sum(), count=tokens)

        cut = clipped_tokens(
            ratios,
            keep_counted(microbatch.advantages, mask),
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            dual_clip=self.dual_clip,
        )
        mean("clip_fraction", (cut.low | cut.high | cut.dual).float())
        mean("clip_fraction_low", cut.low.float())
        mean("clip_fraction_high", cut.high.float())
        if self.dual_clip is not None:
            mean("clip_fraction_dual", cut.dual.float())
        ratio = importance_ratio(ratios)
        mean("ratio_mean", ratio)
        metrics.minimum("ratio_min", ratio.masked_fill(~mask, math.inf).min())
        metrics.maximum("ratio_max", ratio.masked_fill(~mask, -math.inf).max())
        metrics.maximum("ratio_deviation", keep_counted(ratio - 1.0, mask).abs().max())
        mean("approx_kl", old_policy_kl(policy_logprobs - old_logprobs))
        if microbatch.old_logprobs is None:  # else it was measured before the update
            rollout_logprobs = keep_counted(microbatch.rollout_logprobs, mask)
            mismatch = sampler_mismatch(policy_logprobs, rollout_logprobs, mask)
            metrics.mean("rollout_mismatch", total=mismatch.double() * tokens, count=tokens)
        mean("policy_logprob", policy_logprobs)
        if entropy is not None:
            mean("entropy", entropy.detach())
        if self.kl_coef == 0 and microbatch.reference_logprobs is not None:
            mean("reference_kl", k3(policy_logprobs, keep_counted(microbatch.reference_logprobs, mask)))
        metrics.sum("tokens", tokens)
