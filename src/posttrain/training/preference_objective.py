"""What a reward model minimises: Bradley-Terry on the pairs of each ranking, or Plackett-Luce on its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posttrain.algorithms.bradley_terry import (
    ComparedPairs,
    RankingKind,
    TieHandling,
    compared_loss,
    compared_pairs,
    ranking_loss,
)
from posttrain.batches import PreferenceBatch, TokenBatch
from posttrain.errors import ConfigError
from posttrain.training.metrics import Metrics


class RewardingModel(Protocol):
    """The part of a `ScalarModel` that this objective uses."""

    def end_values(self, tokens: TokenBatch) -> Float[Tensor, " rows"]:
        """The reward of each row, read at its last real token, with its graph."""
        ...


@dataclass(frozen=True)
class PreferenceRanking:
    """`weight * (ranking_loss + center_coef * center)` of each ranking, summed; a unit is one of weight.

    So the learner's mean is the weighted mean over rankings: a ranking of 6 responses weighs what a pair does,
    and doubling every weight changes nothing. `ranking_loss` says what `kind`, `margin` (added to the ranking's
    own), `label_smoothing` and `ties` do. `center` is (2 x the mean reward of the ranking)^2: for a pair
    (r_chosen + r_rejected)^2, as in Eisenstein et al. (arXiv 2312.09244), which leaves differences alone.
    Logged: the loss and its terms; of pairs that are no ties the accuracy and the mean difference; the scores.

    Example: InstructGPT's, one forward pass for all responses of a prompt:
        learner.update(batch, PreferenceRanking())
    """

    kind: RankingKind = "pairs"
    margin: float = 0.0
    label_smoothing: float = 0.0
    ties: TieHandling = "leave_out"
    center_coef: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("pairs", "plackett_luce") or self.ties not in ("leave_out", "learn"):
            raise ConfigError(
                f"unknown kind {self.kind!r} or ties {self.ties!r}: kind is 'pairs' or 'plackett_luce', ties "
                "'leave_out' or 'learn'"
            )
        if not 0 <= self.label_smoothing < 0.5 or self.margin < 0 or self.center_coef < 0:
            raise ConfigError(
                f"label_smoothing ({self.label_smoothing}) lies between 0 and 0.5; margin ({self.margin}) and "
                f"center_coef ({self.center_coef}) are not negative"
            )
        if self.kind == "plackett_luce" and (self.margin or self.label_smoothing):
            raise ConfigError("margin and label_smoothing are of pairs: use kind 'pairs', or leave them 0")

    def num_units(self, batch: PreferenceBatch) -> float:
        """The weights of the rankings that have something to learn from."""
        return float(batch.weights[self.counted_rows(batch)].double().sum())

    def counted_rows(self, batch: PreferenceBatch) -> Bool[Tensor, " rankings"]:
        """Rankings with two responses at least, and not all tied where ties are left out."""
        if self.kind == "plackett_luce" or self.ties == "learn":
            return batch.ranking_sizes > 1
        pieces = batch.ranks.split(batch.ranking_sizes.tolist())
        has_order = [len(set(ranks.tolist())) > 1 for ranks in pieces]
        return torch.tensor(has_order, dtype=torch.bool, device=batch.ranks.device)

    def __call__(self, model: RewardingModel, microbatch: PreferenceBatch) -> tuple[Tensor, Metrics]:
        """The summed loss of these rankings, and what to log."""
        rewards = model.end_values(microbatch.tokens)
        weights = microbatch.weights.to(rewards.dtype)
        counted = self.counted_rows(microbatch)
        units = weights[counted].sum()
        order_loss = (self._order_losses(rewards, microbatch) * weights).sum()
        metrics = Metrics().mean("preference_loss", total=order_loss, count=units)
        loss = order_loss
        if self.center_coef > 0:
            center = (weights * (2 * self._means(rewards, microbatch)) ** 2 * counted.to(weights)).sum()
            metrics.mean("center_loss", total=self.center_coef * center, count=units)
            loss = loss + self.center_coef * center
        metrics.mean("loss", total=loss, count=units)
        self._measure(metrics, rewards.detach(), microbatch)
        return loss, metrics

    def _order_losses(self, rewards: Tensor, batch: PreferenceBatch) -> Float[Tensor, " rankings"]:
        """The loss of each ranking; those of `"pairs"` all at once."""
        if self.kind == "plackett_luce":
            sizes = batch.ranking_sizes.tolist()
            pieces = zip(rewards.split(sizes), batch.ranks.split(sizes), strict=True)
            return torch.stack([ranking_loss(own, ranks, kind=self.kind) for own, ranks in pieces])
        pairs, ranking_of_pair = self._pairs(batch, self.ties)
        losses = compared_loss(
            rewards,
            pairs,
            margin=self.margin + batch.margins[ranking_of_pair],
            label_smoothing=self.label_smoothing,
        )
        # Deterministic on every device, and the same whatever rankings stand beside it: a one-hot product.
        membership = torch.nn.functional.one_hot(ranking_of_pair, len(batch)).to(losses.dtype)
        return (losses @ membership) / membership.sum(dim=0).clamp(min=1)

    def _pairs(self, batch: PreferenceBatch, ties: TieHandling) -> tuple[ComparedPairs, Tensor]:
        rankings = batch.ranking_of_response
        pairs = compared_pairs(batch.ranks, rankings, ties=ties)
        return pairs, rankings[pairs.better]

    @staticmethod
    def _means(rewards: Tensor, batch: PreferenceBatch) -> Float[Tensor, " rankings"]:
        return torch.stack([own.mean() for own in rewards.split(batch.ranking_sizes.tolist())])

    @torch.no_grad()
    def _measure(self, metrics: Metrics, rewards: Tensor, batch: PreferenceBatch) -> None:
        pairs, _ = self._pairs(batch, "leave_out")
        ahead = rewards[pairs.better] - rewards[pairs.worse]
        # Equal rewards are no win.
        metrics.mean("accuracy", total=(ahead > 0).double().sum(), count=ahead.numel())
        metrics.mean("score_margin", total=ahead.double().sum(), count=ahead.numel())
        metrics.mean("score_mean", total=rewards.double().sum(), count=rewards.numel())
        metrics.sum("rankings", float(len(batch)))
        metrics.sum("responses", float(rewards.numel()))
        metrics.sum("tokens", batch.tokens.lengths.sum())
