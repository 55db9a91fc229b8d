"""Statistics of one chunk of logits and their gradient by these logits; see `chunked_head`."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Head(NamedTuple):
    """An LM head in the dtype of the hidden states it is applied to."""

    weight: Tensor
    bias: Tensor | None
    temperature: float
    excludes_ids: bool  # a bias of -inf: ids that cannot be emitted (a padded vocabulary)

    @staticmethod
    def of(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> "Head":
        """The head cast to the dtype of `hidden`."""
        excludes_ids = bias is not None and bool(bias.isneginf().any())
        bias = None if bias is None else bias.to(hidden.dtype)
        return Head(weight.to(hidden.dtype), bias, temperature, excludes_ids)

    def logits(self, hidden: Tensor, buffer: Tensor) -> Tensor:
        """`[rows, V]` in the dtype of `hidden`, written into the first rows of `buffer`."""
        out = buffer[: len(hidden)]
        if self.bias is None:
            return torch.mm(hidden, self.weight.t(), out=out)
        return torch.addmm(self.bias, hidden, self.weight.t(), out=out)

    def logprobs(self, logits: Tensor) -> Tensor:
        """`[rows, V]`, float32 or float64, from logits of any precision."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return torch.log_softmax(logits if self.temperature == 1.0 else logits / self.temperature, dim=-1)

    def zero_at_excluded(self, x: Tensor, logprobs: Tensor) -> Tensor:
        """`x` with 0 where this head's `logprobs` are log 0: 0 * inf, to come, must be 0 and not NaN."""
        return x.masked_fill(logprobs == -torch.inf, 0.0) if self.excludes_ids else x


class ChunkPlan(NamedTuple):
    """What to compute, how many rows of logits exist at a time, and how many are looked at together.

    A chunk is as large as memory allows, for the matrix products. The passes over its logits go tile by tile, so
    that on a CPU a tile stays in the cache between them.
    """

    temperature: float
    rows: int
    tile_rows: int
    entropy: bool
    forward_kl: bool = False
    reverse_kl: bool = False
    reference_hidden: Tensor | None = None
    reference_head: Head | None = None

    def chunks(self, num_rows: int) -> Iterator[slice]:
        """The rows of each chunk in turn."""
        return slices(num_rows, self.rows)

    def tiles(self, chunk: slice) -> Iterator[tuple[slice, slice]]:
        """Each tile of a chunk in turn: its rows inside the chunk and its rows of all."""
        for tile in slices(chunk.stop - chunk.start, self.tile_rows):
            yield tile, slice(chunk.start + tile.start, chunk.start + tile.stop)

    def buffer(self, hidden: Tensor, head: Head) -> Tensor:
        """Room for the logits of one chunk, used again by every chunk."""
        return hidden.new_empty(min(self.rows, len(hidden)), len(head.weight))

    def reference_buffer(self) -> Tensor | None:
        """The same for the reference, None without one."""
        if self.reference_hidden is None or self.reference_head is None:
            return None
        return self.buffer(self.reference_hidden, self.reference_head)

    def reference_logits(self, rows: slice, buffer: Tensor | None) -> Tensor | None:
        """The reference's logits of a chunk, None without a reference."""
        if self.reference_hidden is None or self.reference_head is None or buffer is None:
            return None
        return self.reference_head.logits(self.reference_hidden[rows], buffer)

    def reference_logprobs(self, logits: Tensor | None, tile: slice) -> Tensor | None:
        """The reference's log-probabilities of a tile of its logits, None without a reference."""
        if self.reference_head is None or logits is None:
            return None
        return self.reference_head.logprobs(logits[tile])


def slices(stop: int, step: int) -> Iterator[slice]:
    """0..stop in pieces of `step`, the last one shorter."""
    return (slice(start, min(start + step, stop)) for start in range(0, stop, step))


def chunk_statistics(
    head: Head, policy: Tensor, token_ids: Tensor, reference: Tensor | None, plan: ChunkPlan
) -> tuple[Tensor | None, ...]:
    """(logprobs, entropy, forward KL, reverse KL) of one chunk, `[rows]` each, None where not asked for."""
    taken = policy.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)
    entropy = forward_kl = reverse_kl = None
    if plan.entropy or plan.reverse_kl:
        probabilities = policy.exp()
        if plan.entropy:
            entropy = -torch.linalg.vecdot(probabilities, head.zero_at_excluded(policy, policy))
        if plan.reverse_kl and reference is not None:
            difference = head.zero_at_excluded(policy - reference, policy)
            reverse_kl = torch.linalg.vecdot(probabilities, difference)
    if plan.forward_kl and reference is not None and plan.reference_head is not None:
        difference = plan.reference_head.zero_at_excluded(reference - policy, reference)
        forward_kl = torch.linalg.vecdot(reference.exp(), difference)
    return taken, entropy, forward_kl, reverse_kl


def logit_gradient(
    head: Head, policy: Tensor, token_ids: Tensor, reference: Tensor | None, columns: list[Tensor | None]
) -> Tensor:
    """The gradient by the raw logits, `[rows, V]`.

    `columns [rows, 1]`: the gradients of the four statistics, the entropy, KL(p || q).
    """
    by_taken, by_entropy, by_forward, by_reverse, entropy, reverse_kl = columns
    constant = policy.new_zeros(len(policy), 1)
    slope = policy.new_zeros(len(policy), 1)
    if by_taken is not None:
        constant = constant - by_taken
    if by_forward is not None:
        constant = constant + by_forward
    if by_entropy is not None and entropy is not None:
        constant, slope = constant - by_entropy * entropy, slope - by_entropy
    if by_reverse is not None and reverse_kl is not None:
        constant, slope = constant - by_reverse * reverse_kl, slope + by_reverse
    result = policy.exp()
    if by_entropy is not None or by_reverse is not None:
        factor = policy * slope
        if by_reverse is not None and reference is not None:
            factor.addcmul_(reference, by_reverse.expand_as(reference), value=-1.0)
        result.mul_(head.zero_at_excluded(factor, policy).add_(constant))
    else:
        result.mul_(constant)
    if by_forward is not None and reference is not None:
        result.addcmul_(reference.exp(), by_forward.expand_as(reference), value=-1.0)
    if by_taken is not None:
        result.scatter_add_(-1, token_ids, by_taken)
    return result.div_(head.temperature)
