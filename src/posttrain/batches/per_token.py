"""Rows of tokens with numbers for each response token, cut and moved together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Int
from torch import Tensor

from posttrain.batches.moving import moved
from posttrain.batches.token_batch import TokenBatch


@dataclass(frozen=True)
class PerTokenBatch:
    """Tokens, and in every further field a `[rows, time, ...]` tensor that belongs to them, or None.

    The tensors are arbitrary where `tokens.response_mask` is False.
    """

    tokens: TokenBatch

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
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.tokens.token_ids.device)
        time = tokens.max_response_length
        per_token: dict[str, Any] = {
            field.name: None if (x := getattr(self, field.name)) is None else x[index, :time]
            for field in dataclasses.fields(self)
            if field.name != "tokens"
        }
        return type(self)(tokens=tokens, **per_token)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return moved(self, device)
