"""Ranked responses as tensors: what a reward model learns from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posttrain.batches.moving import moved
from posttrain.batches.token_batch import TokenBatch
from posttrain.types import Rollout


@dataclass(frozen=True, slots=True)
class RankedRollouts:
    """The responses to one prompt, as ids, with their ranks (0 the best), and how much the ranking counts."""

    rollouts: tuple[Rollout, ...]
    ranks: tuple[int, ...]
    weight: float = 1.0
    margin: float = 0.0


@dataclass(frozen=True)
class PreferenceBatch:
    """Rankings of responses; the rows of `tokens` are all responses, ranking after ranking.

    A row of this batch is a ranking, which is never split: its loss needs all its rewards at once.
    Example: a ranking of three responses (the second is best, the others tie) and a pair:
        ranking_sizes = [3, 2]
        ranks         = [1, 0, 1, 0, 1]
        weights       = [1.0, 0.5]      how much each ranking counts
        margins       = [0.0, 0.0]      by how much the better reward should be ahead
    """

    tokens: TokenBatch
    ranking_sizes: Int[Tensor, " rankings"]
    ranks: Int[Tensor, " responses"]
    weights: Float[Tensor, " rankings"]
    margins: Float[Tensor, " rankings"]

    def __len__(self) -> int:
        return self.ranking_sizes.shape[0]

    @property
    def lengths(self) -> Int[Tensor, " rankings"]:
        """Padded tokens of a whole ranking: its responses times the longest of them with its prompt."""
        by_ranking = torch.split(self.tokens.lengths, self.ranking_sizes.tolist())
        longest = [int(lengths.max()) for lengths in by_ranking]
        return torch.tensor(longest, dtype=torch.long, device=self.ranking_sizes.device) * self.ranking_sizes

    @property
    def prompt_groups(self) -> list[int]:
        """For each ranking the first ranking of the same prompt: two people may have ranked one."""
        groups = self.tokens.prompt_groups
        first: dict[int, int] = {}
        return [first.setdefault(groups[start], index) for index, start in enumerate(self._starts())]

    @property
    def ranking_of_response(self) -> Int[Tensor, " responses"]:
        """For each row of `tokens` the ranking that it belongs to."""
        rankings = torch.arange(len(self), device=self.ranking_sizes.device)
        return rankings.repeat_interleave(self.ranking_sizes)

    def select(self, rows: Sequence[int]) -> Self:
        """These rankings only, with padding that none of them needs cut off."""
        starts, sizes = self._starts(), self.ranking_sizes.tolist()
        responses = [place for row in rows for place in range(starts[row], starts[row] + sizes[row])]
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.ranking_sizes.device)
        places = torch.as_tensor(responses, dtype=torch.long, device=self.ranks.device)
        return type(self)(
            tokens=self.tokens.select(responses),
            ranking_sizes=self.ranking_sizes[index],
            ranks=self.ranks[places],
            weights=self.weights[index],
            margins=self.margins[index],
        )

    @classmethod
    def from_rankings(cls, rankings: Sequence[RankedRollouts]) -> Self:
        """One row a ranking, in order."""
        return cls(
            tokens=TokenBatch.from_rollouts([r for ranking in rankings for r in ranking.rollouts]),
            ranking_sizes=torch.tensor([len(ranking.rollouts) for ranking in rankings], dtype=torch.long),
            ranks=torch.tensor([rank for ranking in rankings for rank in ranking.ranks], dtype=torch.long),
            weights=torch.tensor([ranking.weight for ranking in rankings], dtype=torch.float32),
            margins=torch.tensor([ranking.margin for ranking in rankings], dtype=torch.float32),
        )

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return moved(self, device)

    def _starts(self) -> list[int]:
        return [0, *itertools.accumulate(self.ranking_sizes.tolist())][:-1]
