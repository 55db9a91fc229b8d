"""Prompts with their responses as ids: what policies, value models and reward models read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from posttrain.batches.moving import moved
from posttrain.types import Rollout


@dataclass(frozen=True)
class TokenBatch:
    """Prompts with their responses as ids, and which response tokens are trained on.

    Example: prompt [5, 6], response [7, 2] (2 = end of sequence), beside prompt [5], response [9]:
        token_ids        = [[5, 6, 7, 2], [5, 9, 0, 0]]
        prompt_lengths   = [2, 1]
        response_lengths = [2, 1]
        response_mask    = [[True, True], [True, False]]
    """

    token_ids: Int[Tensor, "rows length"]
    prompt_lengths: Int[Tensor, " rows"]
    response_lengths: Int[Tensor, " rows"]
    response_mask: Bool[Tensor, "rows time"]

    def __len__(self) -> int:
        return self.token_ids.shape[0]

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """Tokens of prompt + response, for each row."""
        return self.prompt_lengths + self.response_lengths

    @property
    def max_response_length(self) -> int:
        """Width of every `[rows, time]` tensor of this batch."""
        return self.response_mask.shape[1]

    @property
    def prompt_groups(self) -> list[int]:
        """For each row the first row that has the same prompt: rows of one group have one number."""
        prompts = [
            tuple(row[:n])
            for row, n in zip(self.token_ids.tolist(), self.prompt_lengths.tolist(), strict=True)
        ]
        first: dict[tuple[int, ...], int] = {}
        return [first.setdefault(prompt, row) for row, prompt in enumerate(prompts)]

    @property
    def response_ids(self) -> Int[Tensor, "rows time"]:
        """The response tokens, aligned with `response_mask`; 0 behind a row's end."""
        gathered = self.token_ids.gather(1, self._positions(offset=0))
        return torch.where(self._within_response(), gathered, torch.zeros_like(gathered))

    @property
    def predicting_positions(self) -> Int[Tensor, "rows time"]:
        """Where in the row the model predicts each response token: one position before the token itself."""
        return self._positions(offset=-1)

    def select(self, rows: Sequence[int]) -> Self:
        """These rows only, with padding that no row of them needs cut off."""
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.token_ids.device)
        lengths, responses = self.lengths[index], self.response_lengths[index]
        length = int(lengths.max()) if len(index) else 0
        time = int(responses.max()) if len(index) else 0
        return type(self)(
            token_ids=self.token_ids[index, :length],
            prompt_lengths=self.prompt_lengths[index],
            response_lengths=responses,
            response_mask=self.response_mask[index, :time],
        )

    def with_end_states(self) -> Self:
        """The same rows with one more, uncounted, place behind each response: what a model says there is of the end.

        `predicting_positions` then reach from the state before the first response token to the state after
        the last one. No state of the batch has seen a token in that place, so `token_ids` have no column for
        it behind the longest row: a row may be as long as the model has positions.
        """
        columns = torch.arange(self.token_ids.shape[1], device=self.token_ids.device)
        uncounted = self.response_mask.new_zeros(len(self), 1)
        return dataclasses.replace(
            self,
            # Rows may be cut out of wider ones: what stood behind a response's end need not be 0.
            token_ids=self.token_ids.masked_fill(columns[None, :] == self.lengths[:, None], 0),
            response_lengths=self.response_lengths + 1,
            response_mask=torch.cat([self.response_mask, uncounted], dim=1),
        )

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return moved(self, device)

    @classmethod
    def from_rollouts(cls, rollouts: Sequence[Rollout]) -> Self:
        """One row a rollout, in order; every sampled token counts, the end-of-sequence token included."""
        prompts = [rollout.prompt.token_ids for rollout in rollouts]
        responses = [rollout.response_ids for rollout in rollouts]
        length = max((len(p) + len(r) for p, r in zip(prompts, responses, strict=True)), default=0)
        time = max((len(r) for r in responses), default=0)
        token_ids = torch.zeros(len(rollouts), length, dtype=torch.long)
        for row, (p, r) in enumerate(zip(prompts, responses, strict=True)):
            token_ids[row, : len(p) + len(r)] = torch.tensor([*p, *r], dtype=torch.long)
        response_lengths = torch.tensor([len(r) for r in responses], dtype=torch.long)
        return cls(
            token_ids=token_ids,
            prompt_lengths=torch.tensor([len(p) for p in prompts], dtype=torch.long),
            response_lengths=response_lengths,
            response_mask=torch.arange(time)[None, :] < response_lengths[:, None],
        )

    def _within_response(self) -> Bool[Tensor, "rows time"]:
        steps = torch.arange(self.max_response_length, device=self.token_ids.device)
        return steps[None, :] < self.response_lengths[:, None]

    def _positions(self, offset: int) -> Int[Tensor, "rows time"]:
        steps = torch.arange(self.max_response_length, device=self.token_ids.device)
        positions = self.prompt_lengths[:, None] + steps[None, :] + offset
        # Behind a row's end any position will do: the mask hides what is read there.
        return positions.clamp(min=0, max=max(self.token_ids.shape[1] - 1, 0))
