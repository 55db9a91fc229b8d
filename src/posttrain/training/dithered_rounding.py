"""float32 masters -> bfloat16 parameters, so that small updates count at once and on average exactly.

Rounding to the nearest would swallow the beginning of training: a model that comes in bfloat16 stands exactly
on bfloat16's grid, whose steps near 0.05 are 2.4e-4 wide, and a weight would not move before updates of 1e-5 have
added up to half a step. Here each weight has a fixed threshold u, spread evenly over [0, 1), and goes to the next
grid point when its master has covered the share 1 - u of the way: of many weights that drift by a tenth of a step,
a tenth moves. A master on the grid stays where it is, so nothing changes before the first update. The thresholds
never change, so the parameters are a function of the masters: no noise from step to step, and nothing to save.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_TILE = 1 << 16  # thresholds are repeated after so many elements; a tile stays in a core's cache
_BATCH = 16  # tiles in one call: fewer calls, still in cache


@torch.no_grad()
def round_dithered_(parameter: Tensor, master: Tensor, *, offset: int = 0) -> None:
    """`parameter` (bfloat16) becomes `master` (float32) rounded by fixed thresholds; same shape, both contiguous.

    The rounding error is below one step of the grid, and 0 on average over the thresholds. `offset` shifts the
    thresholds, so that parameters of one shape do not share them.
    """
    start = offset % _TILE
    thresholds = _thresholds(master.device)[start : start + _TILE]
    source, target = master.reshape(-1).view(torch.int32), parameter.view(-1).view(torch.int16)
    # The upper half of a float32's bits is the bfloat16 towards 0; adding a number below 2^16 first carries into
    # it when the lower half is large enough. Signs and exponents take care of themselves.
    whole = source.numel() // _TILE * _TILE
    tiles, rounded = source[:whole].view(-1, _TILE), target[:whole].view(-1, _TILE)
    for first in range(0, len(tiles), _BATCH):
        part = slice(first, first + _BATCH)
        rounded[part] = ((tiles[part] + thresholds) >> 16).to(torch.int16)
    target[whole:] = ((source[whole:] + thresholds[: source.numel() - whole]) >> 16).to(torch.int16)


@lru_cache(maxsize=8)
def _thresholds(device: torch.device) -> Tensor:
    """Every number from 0 to 65,535 once, in a fixed shuffled order, and then all of them again."""
    shuffled = torch.randperm(_TILE, generator=torch.Generator().manual_seed(_TILE), dtype=torch.int32)
    return torch.cat([shuffled, shuffled]).to(device)
