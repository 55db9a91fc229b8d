"""What an update of the critic needs to know of each state."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from posttrain.batches.per_token import PerTokenBatch


@dataclass(frozen=True)
class ValueBatch(PerTokenBatch):
    """What an update of the critic needs: the value of the state before each response token, and what it should be.

    `old_values` are the critic's from before the update. Both are float32, arbitrary where
    `tokens.response_mask` is False; a row with no counted token is not trained on.
    """

    old_values: Float[Tensor, "rows time"]
    targets: Float[Tensor, "rows time"]
