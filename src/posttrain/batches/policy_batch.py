"""What a policy-gradient update needs to know of each response token."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posttrain.batches.moving import moved
from posttrain.batches.token_batch import TokenBatch


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
        return moved(self, device)
