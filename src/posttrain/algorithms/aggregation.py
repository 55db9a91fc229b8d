"""The one place that sums, averages and whitens: masked sums and the units they are divided by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posttrain.algorithms.inputs import at_least_float32, check_mask
from posttrain.algorithms.masks import keep_counted

AggregationMode = Literal["token", "sequence", "sequence_sum", "constant"]
WHITENING_EPSILON = 1e-8


def aggregate(
    per_token: Tensor, mask: Tensor, *, mode: AggregationMode, max_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """`(loss_sum, units)`: the summed loss and the number of units to divide by, both scalars.

    `per_token, mask [B, T]`. Divide the loss sums of ALL micro-batches and ranks of an optimiser step by ALL
    their units; then neither the split nor the padding can change the gradient. Dividing each part by its own
    units and averaging reweights tokens silently.

    | mode | loss_sum | units | known as |
    |---|---|---|---|
    | `"token"` | sum over counted tokens | counted tokens | token mean; DAPO, arXiv 2503.14476 |
    | `"sequence"` | sum over rows of the row's token mean | rows with a counted token | the note, GRPO |
    | `"sequence_sum"` | sum of row sums | rows | the log-likelihood of the response |
    | `"constant"` | sum / max_length | rows | Dr. GRPO, arXiv 2503.20783 |

    `units` is int64. Rows count as they are in the last two modes, also those without a counted token (a
    response that was masked out is still a sample); leave filler rows out of the batch. With nothing counted
    `loss_sum` is 0 and still part of the graph, so that every rank can run backward.
    Raises ValueError for an unknown mode, a mask that is not boolean, shapes that differ, or `"constant"`
    without a positive `max_length` (a configured length; the padded width of this batch would make the loss
    depend on it).
    """
    check_mask(mask, per_token=per_token)
    per_token = keep_counted(at_least_float32(per_token, "per_token"), mask)
    row_tokens = mask.sum(dim=-1)
    num_rows = torch.tensor(row_tokens.numel(), device=mask.device)
    if mode == "token":
        return per_token.sum(), row_tokens.sum()
    if mode == "sequence":
        return (per_token.sum(dim=-1) / row_tokens.clamp(min=1)).sum(), (row_tokens > 0).sum()
    if mode == "sequence_sum":
        return per_token.sum(), num_rows
    if mode == "constant":
        if max_length is None or max_length <= 0:
            raise ValueError(
                f"mode 'constant' divides by max_length, which must be positive, got {max_length}"
            )
        return per_token.sum() / max_length, num_rows
    raise ValueError(f"unknown mode {mode!r}: choose 'token', 'sequence', 'sequence_sum' or 'constant'")


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` over all True positions, a scalar; 0 (with a zero gradient) when there is none."""
    check_mask(mask, x=x)
    return keep_counted(at_least_float32(x, "x"), mask).sum() / mask.sum().clamp(min=1)


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations: three scalars that parts of a batch can be combined from.

    Example: `[1, 2, 3]` on one rank and `[10]` on another combine to count 4, mean 4, variance 12.5.
    """

    count: Tensor
    mean: Tensor
    sum_squared_deviations: Tensor

    @property
    def variance(self) -> Tensor:
        """The population variance (divided by n); 0 when nothing was counted."""
        return self.sum_squared_deviations / self.count.clamp(min=1)


def masked_moments(x: Tensor, mask: Tensor) -> Moments:
    """Moments of `x` over the True positions, in float64 and in two passes (no cancellation of squares)."""
    check_mask(mask, x=x)
    counted = keep_counted(at_least_float32(x, "x").double(), mask)
    count = mask.sum().double()
    mean = counted.sum() / count.clamp(min=1)
    return Moments(count, mean, keep_counted(counted - mean, mask).square().sum())


def combine_moments(parts: Iterable[Moments]) -> Moments:
    """Moments of the union of several parts (ranks, micro-batches), whatever their sizes.

    Each part's spread around its own mean, plus the spread of the means: sum M2_k + sum n_k (mean_k - mean)^2
    (Chan, Golub and LeVeque, 1979). Averaging the parts' means or standard deviations is wrong for unequal
    parts.
    """
    parts = list(parts)
    counts, means = torch.stack([part.count for part in parts]), torch.stack([part.mean for part in parts])
    spreads = torch.stack([part.sum_squared_deviations for part in parts])
    count = counts.sum()
    mean = (counts * means).sum() / count.clamp(min=1)
    return Moments(count, mean, spreads.sum() + (counts * (means - mean).square()).sum())


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True, moments: Moments | None = None) -> Tensor:
    """`(x - mean) / sqrt(variance + 1e-8)` over the counted positions, exactly 0 elsewhere; the shape of `x`.

    Population variance (n, not n - 1). `shift_mean=False` adds the mean back: rewards keep their sign,
    advantages are centred. `moments` replaces the statistics of this tensor by those of the whole batch when
    it is spread over ranks or micro-batches: `combine_moments` of every part's `masked_moments`.

    Departs: PPO's paper does not whiten; the form is that of lm-human-preferences (ddof 0), verl uses n - 1.
    """
    check_mask(mask, x=x)
    x = at_least_float32(x, "x")
    moments = masked_moments(x, mask) if moments is None else moments
    counted = keep_counted(x.double(), mask)
    whitened = (counted - moments.mean) * torch.rsqrt(moments.variance + WHITENING_EPSILON)
    if not shift_mean:
        whitened = whitened + moments.mean
    return keep_counted(whitened, mask).to(x.dtype)
