"""Documents one behind another in rows, for next-token prediction; they do not see each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from posttrain.batches.moving import moved

Document = tuple[Sequence[int], Sequence[bool]]
"""Token ids, and for each of them whether it is a target: a token that the model is trained to predict."""


@dataclass(frozen=True)
class PackedBatch:
    """Rows of documents as ids; the positions of each document count from 0, which is what tells them apart.

    Example: the documents [5, 6, 7] and [8, 9] in one row, everything but their first tokens a target:
        token_ids    = [[5, 6, 7, 8, 9]]
        position_ids = [[0, 1, 2, 0, 1]]
        loss_mask    = [[False, True, True, False, True]]
        lengths      = [5]
    The first token of a document is predicted from nothing and never a target. Behind a row's end stands
    padding: id 0, no target, positions that count from 0 again.
    """

    token_ids: Int[Tensor, "rows length"]
    position_ids: Int[Tensor, "rows length"]
    loss_mask: Bool[Tensor, "rows length"]
    lengths: Int[Tensor, " rows"]

    def __len__(self) -> int:
        return self.token_ids.shape[0]

    @property
    def prompt_groups(self) -> list[int]:
        """Every row for itself: they have no beginning in common."""
        return list(range(len(self)))

    @property
    def num_targets(self) -> int:
        """Tokens that are predicted."""
        return int(self.loss_mask.sum())

    def select(self, rows: Sequence[int]) -> Self:
        """These rows only, with padding that no row of them needs cut off."""
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.token_ids.device)
        lengths = self.lengths[index]
        length = int(lengths.max()) if len(index) else 0
        return type(self)(
            token_ids=self.token_ids[index, :length],
            position_ids=self.position_ids[index, :length],
            loss_mask=self.loss_mask[index, :length],
            lengths=lengths,
        )

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        return moved(self, device)

    @classmethod
    def from_documents(cls, rows: Sequence[Sequence[Document]]) -> Self:
        """One row for each sequence of documents, in order. ValueError when a first token is a target."""
        lengths = [sum(len(ids) for ids, _ in documents) for documents in rows]
        longest = max(lengths, default=0)
        token_ids = torch.zeros(len(rows), longest, dtype=torch.long)
        position_ids = torch.zeros(len(rows), longest, dtype=torch.long)
        loss_mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for row, documents in enumerate(rows):
            start = 0
            for ids, targets in documents:
                if len(ids) != len(targets) or (len(targets) and targets[0]):
                    raise ValueError(
                        "a document needs one mask entry a token, and its first token cannot be a target: "
                        f"got {len(ids)} tokens, {len(targets)} entries, the first is {bool(targets[:1])}"
                    )
                stop = start + len(ids)
                token_ids[row, start:stop] = torch.as_tensor(ids, dtype=torch.long)
                position_ids[row, start:stop] = torch.arange(len(ids))
                loss_mask[row, start:stop] = torch.as_tensor(targets, dtype=torch.bool)
                start = stop
            position_ids[row, start:] = torch.arange(longest - start)
        return cls(token_ids, position_ids, loss_mask, torch.tensor(lengths, dtype=torch.long))
