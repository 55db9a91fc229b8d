"""What DAPO (arXiv 2503.14476) adds beside settings of the other equations: a soft penalty on length.

Its other parts are `clip_high > clip_low`, aggregation `"token"` and `informative_groups`.
"""

import torch
from torch import Tensor


def soft_overlong_penalty(lengths: Tensor, *, max_length: int, cache_length: int) -> Tensor:
    """The penalty to add to each reward, from 0 down to -1: `lengths [B] -> [B]`, float32, no gradient.

    0 up to `max_length - cache_length` tokens, then linear, -1 from `max_length` on (equation 13).
    Raises ValueError unless `0 < cache_length <= max_length`: with a cache of 0 the slope is 0/0.
    """
    if not 0 < cache_length <= max_length:
        raise ValueError(
            f"cache_length must lie in 1..max_length ({max_length}), got {cache_length}: "
            "the penalty grows over that many last tokens; leave the penalty out to switch it off"
        )
    dtype = lengths.dtype if lengths.dtype == torch.float64 else torch.float32
    over = (max_length - cache_length) - lengths.detach().to(dtype)
    return (over / cache_length).clamp(-1.0, 0.0)
