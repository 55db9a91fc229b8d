"""One step's rows for a policy that has the critic as a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from posttrain.batches.moving import moved
from posttrain.batches.policy_batch import PolicyBatch
from posttrain.batches.value_batch import ValueBatch


@dataclass(frozen=True)
class PolicyValueBatch:
    """The same rows for the policy's terms and for the critic's; both have the same tokens, in the same order."""

    policy: PolicyBatch
    value: ValueBatch

    def __len__(self) -> int:
        return len(self.policy)

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """Tokens of prompt + response, for each row."""
        return self.policy.lengths

    @property
    def prompt_groups(self) -> list[int]:
        """For each row the first row that has the same prompt."""
        return self.policy.prompt_groups

    def select(self, rows: Sequence[int]) -> Self:
        """These rows only, with padding that no row of them needs cut off."""
        return type(self)(self.policy.select(rows), self.value.select(rows))

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return moved(self, device)
