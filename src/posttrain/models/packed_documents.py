"""Hidden states of documents that stand one behind another in a row and do not see each other.

transformers makes a block-diagonal mask from positions that start again within a row. A model that does not
follow them (positions of its own, recurrent layers) gets every document in a row of its own instead.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from posttrain.batches import PackedBatch


def packed_hidden_states(trunk: Any, packed: PackedBatch) -> Float[Tensor, "rows length width"]:
    """Of every token, in one pass over the rows as they are."""
    hidden: Tensor = trunk(
        # No attention mask: with one, transformers does not look at the positions.
        input_ids=packed.token_ids,
        position_ids=packed.position_ids,
        use_cache=False,
    ).last_hidden_state
    return hidden


def unpacked_hidden_states(trunk: Any, packed: PackedBatch) -> Float[Tensor, "rows length width"]:
    """The same for any model: each document padded in a row of its own, and put back to its place."""
    starts = (packed.position_ids == 0).flatten().nonzero()[:, 0]
    total = packed.token_ids.numel()
    ends = torch.cat([starts[1:], starts.new_tensor([total])])
    lengths = ends - starts
    columns = torch.arange(int(lengths.max()), device=starts.device)
    is_token = columns[None, :] < lengths[:, None]
    places = (starts[:, None] + columns[None, :]).clamp(max=total - 1)
    hidden: Tensor = trunk(
        input_ids=packed.token_ids.flatten()[places] * is_token,
        attention_mask=is_token.long(),
        position_ids=columns[None, :].expand(places.shape),
        use_cache=False,
    ).last_hidden_state
    # Documents follow each other as in the flat rows, so their tokens in order are the flat rows.
    return hidden[is_token].view(*packed.token_ids.shape, hidden.shape[-1])


def packs_exactly(trunk: Any) -> bool:
    """Whether both ways give the same numbers on a small batch."""
    documents = [[([1, 2, 3], [False] * 3), ([4, 5], [False] * 2)], [([6, 7, 1, 2], [False] * 4)]]
    packed = PackedBatch.from_documents(documents).to(next(trunk.parameters()).device)
    try:
        found = packed_hidden_states(trunk, packed).float()
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    expected = unpacked_hidden_states(trunk, packed).float()
    tolerance = 0.1 if next(trunk.parameters()).dtype in (torch.bfloat16, torch.float16) else 1e-3
    return bool((found - expected).norm() <= tolerance * expected.norm())
