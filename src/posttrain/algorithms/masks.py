"""Masks: True counts. What stands under False is never read, in values and in gradients."""

import torch
from torch import Tensor

from posttrain.algorithms.inputs import check_mask


def keep_counted(x: Tensor, mask: Tensor) -> Tensor:
    """`x` where the mask is True and exactly 0 elsewhere, with exactly zero gradient elsewhere.

    `x [*mask.shape, ...]`, `mask` boolean. Put it on the INPUT of a chain of functions (logits,
    log-probabilities, values), not only on the output: the gradient of `where` on an output is 0, but 0 times
    the infinite slope of a function of NaN or Inf is NaN again. With both ends guarded, NaN under False
    reaches nothing.
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean (True counts), got {mask.dtype}: pass mask.bool()")
    if x.shape[: mask.dim()] != mask.shape:
        raise ValueError(f"mask {list(mask.shape)} must match the leading dimensions of x {list(x.shape)}")
    wide = mask.reshape(mask.shape + (1,) * (x.dim() - mask.dim()))
    return torch.where(wide, x, torch.zeros((), dtype=x.dtype, device=x.device))


def last_token_index(mask: Tensor) -> Tensor:
    """Index of the last counted position of each row: `[B, T] -> [B]`, int64.

    It is where a reward model reads its score and where a score is paid. It works for left, right and no
    padding and for holes, because it asks the mask and never looks for a pad or end id (pad == eos in many
    tokenizers).

    Raises ValueError for a row with no counted position: -1 would silently mean the last column.
    """
    check_mask(mask)
    if not bool(mask.any(dim=-1).all()):
        rows = (~mask.any(dim=-1)).nonzero().flatten().tolist()
        raise ValueError(f"rows {rows} have no counted token, so no last one: drop them from the batch first")
    positions = torch.arange(mask.shape[-1], device=mask.device)
    return torch.where(mask, positions, -1).amax(dim=-1)


def last_token_mask(mask: Tensor) -> Tensor:
    """True at the last counted position of each row only: `[B, T] -> [B, T]`; a row may have none."""
    check_mask(mask)
    counted_from_here = mask.flip(-1).cumsum(-1).flip(-1)
    return mask & (counted_from_here == 1)
