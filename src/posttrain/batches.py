"""Tensors of one optimiser step: rows of prompt + response, and what is known about each response token.

Letters in the shapes: `rows` sequences, `length` tokens of prompt + response, `time` response tokens.
Rows are padded on the right with id 0; padding is known by length, never by id. True in a mask counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return _moved(self, device)

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


@dataclass(frozen=True)
class PolicyBatch:
    """What a policy-gradient update needs: tokens, advantages and the logprobs from before the update.

    All `[rows, time]` tensors are float32 and arbitrary where `tokens.response_mask` is False.
    `reference_logprobs` and `reference_hidden` are None when no KL to a reference is asked for;
    `reference_hidden` (the reference's last hidden states) is kept only for the exact KL, which needs whole
    distributions: hidden states are `vocabulary / width` times smaller than those.
    `importance_weights` are detached factors that correct for a sampler whose probabilities differ; or None.
    """

    tokens: TokenBatch
    advantages: Float[Tensor, "rows time"]
    old_logprobs: Float[Tensor, "rows time"]
    rollout_logprobs: Float[Tensor, "rows time"]
    reference_logprobs: Float[Tensor, "rows time"] | None = None
    reference_hidden: Float[Tensor, "rows time width"] | None = None
    importance_weights: Float[Tensor, "rows time"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """Tokens of prompt + response, for each row: what a micro-batch budget counts."""
        return self.tokens.lengths

    @property
    def prompt_groups(self) -> list[int]:
        """For each row the first row that has the same prompt."""
        return self.tokens.prompt_groups

    def select(self, rows: Sequence[int]) -> Self:
        """These rows only, with padding that no row of them needs cut off."""
        tokens = self.tokens.select(rows)
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.advantages.device)
        time = tokens.max_response_length
        per_token = {
            field.name: None if (x := getattr(self, field.name)) is None else x[index, :time]
            for field in dataclasses.fields(self)
            if field.name != "tokens"
        }
        return type(self)(tokens=tokens, **per_token)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return _moved(self, device)


def _moved(batch: Any, device: torch.device | str) -> Any:
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return type(batch)(**{name: None if x is None else x.to(device) for name, x in fields.items()})
