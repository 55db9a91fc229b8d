"""One choice of a ranking after Plackett (1975) and Luce (1959): the next best, of those that are left."""

import torch
from torch import Tensor

MAX_TIED = 12


def tied_choice_loss(tied: Tensor, worse: Tensor) -> Tensor:
    """Average over the orders of `tied` of `sum_k logsumexp(those left) - r_(k)`; `worse` are always left.

    In a random order the tied ones left before the k-th choice are a uniformly random subset of their size,
    so the average over the orders is the sum over sizes of the mean over subsets of that size: 2^m terms
    instead of m!.
    """
    size = tied.numel()
    if size > MAX_TIED:
        raise ValueError(
            f"{size} responses share a rank; 'plackett_luce' takes {MAX_TIED} at most: use kind='pairs'"
        )
    subsets = torch.arange(1, 2**size, device=tied.device)
    chosen = (subsets[:, None] >> torch.arange(size, device=tied.device)) & 1 == 1
    left = torch.where(chosen, tied, -torch.inf)
    normalizers = torch.logsumexp(torch.cat([left, worse.expand(len(subsets), -1)], dim=1), dim=1)
    members = chosen.sum(dim=1)
    per_size = torch.bincount(members, minlength=size + 1)
    return (normalizers / per_size[members]).sum() - tied.sum()
