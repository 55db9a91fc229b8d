"""From logits to sampled ids: pure functions on tensors, one uniform number a row.

A token is found where its uniform number falls in the cumulative distribution, so a row's draw depends on its
own logits and its own number only. `torch.multinomial` would need a random number for every entry.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posttrain.types import Sampling

# Rows handled together: about 4 MiB of float32, which stays in a core's cache from pass to pass.
_CHUNK_ELEMENTS = 2**20
# Logits are summed in blocks of about this many, then one block is searched.
_BLOCK = 256
# The nucleus is looked for among so many of the most probable tokens before all of them are sorted.
_NUCLEUS_CANDIDATES = 512


class Draw(NamedTuple):
    """One token for each row, and the natural log of the probability that it was drawn with, in float32."""

    token_ids: Int[Tensor, " rows"]
    logprobs: Float[Tensor, " rows"]


def uniforms(sampling: Sampling, group_id: str, sample_index: int) -> np.ndarray:
    """`max_new_tokens` float64 numbers in [0, 1): number t decides token t of this response.

    Named by seed, step, group and sample index, so a response can be drawn again alone; a smaller budget gives
    the first numbers of a larger one.
    """
    name = f"{sampling.seed}\n{sampling.step}\n{sample_index}\n{group_id}".encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(sampling.max_new_tokens)


@torch.no_grad()
def draw(
    logits: Float[Tensor, "rows vocabulary"], numbers: Float[Tensor, " rows"], sampling: Sampling
) -> Draw:
    """One token for each row of `logits`, by the row's number in [0, 1), and its logprob.

    Logits are read in float32 and divided by the temperature; top-k, top-p and min-p then cut the distribution
    in this order, each as the one before left it, and the logprob is that of the distribution left in the end.
    Temperature 0 takes the most probable token (the first of equal ones) with its logprob at temperature 1.
    The logprob is NaN for a row that is no distribution: a NaN, a +inf, or nothing but -inf.
    """
    rows = max(1, _CHUNK_ELEMENTS // logits.shape[-1]) if logits.device.type == "cpu" else len(logits)
    parts = [
        _draw_chunk(logits[start : start + rows], numbers[start : start + rows], sampling)
        for start in range(0, len(logits), max(rows, 1))
    ]
    if not parts:
        return Draw(torch.empty(0, dtype=torch.long), torch.empty(0))
    return Draw(torch.cat([part.token_ids for part in parts]), torch.cat([part.logprobs for part in parts]))


def _draw_chunk(logits: Tensor, numbers: Tensor, sampling: Sampling) -> Draw:
    scores = logits.float()
    if sampling.temperature == 0:
        return _greedy(scores)
    if sampling.temperature != 1:
        # The quotient is rounded before the softmax, as the learner does it: else low temperatures differ.
        scores = scores / sampling.temperature
    scores = truncated(scores, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p)
    return _inverse_cdf(scores, numbers)


def _greedy(scores: Tensor) -> Draw:
    best = scores.amax(dim=-1, keepdim=True)
    # argmax promises no order among equals
    token_ids = (scores == best).to(torch.uint8).argmax(dim=-1) if scores.is_cuda else scores.argmax(dim=-1)
    logprobs = torch.log_softmax(scores, dim=-1).gather(-1, token_ids[:, None])[:, 0]
    return Draw(token_ids, logprobs)


def _inverse_cdf(scores: Tensor, numbers: Tensor) -> Draw:
    """In two levels: which block of tokens holds the number, then which token in the block."""
    rows, vocabulary = scores.shape
    best = scores.amax(dim=-1, keepdim=True)
    weights = torch.sub(scores, best).exp_()
    if vocabulary % _BLOCK:
        weights = torch.nn.functional.pad(weights, (0, -vocabulary % _BLOCK))
    blocks = weights.view(rows, -1, _BLOCK)
    block, within = _search(blocks.sum(dim=-1), numbers.double())
    chosen = blocks.gather(1, block[:, None, None].expand(-1, 1, _BLOCK))[:, 0]
    inside, _ = _search(chosen, within)
    token_ids = block * _BLOCK + inside
    token_ids = token_ids.clamp(max=vocabulary - 1)  # only a row without a distribution gets there
    total = blocks.sum(dim=(1, 2))
    logprobs = scores.gather(-1, token_ids[:, None])[:, 0] - best[:, 0] - total.log()
    return Draw(token_ids, logprobs)


def _search(weights: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The entry that `number` falls into, and where in it, as a number in [0, 1); an entry of weight 0 never."""
    cumulative = weights.double().cumsum(dim=-1)
    target = numbers[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True)
    # number * total may round up to the total: then it is the last entry that has any weight
    last = (cumulative < cumulative[:, -1:]).sum(dim=-1, keepdim=True)
    index = index.minimum(last).clamp_(max=weights.shape[-1] - 1)
    width = weights.gather(-1, index).double()
    before = cumulative.gather(-1, index) - width
    within = ((target - before) / width).clamp_(0.0, 1.0 - 2.0**-53)
    return index[:, 0], within[:, 0]


def truncated(
    scores: Float[Tensor, "rows vocabulary"], *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> Float[Tensor, "rows vocabulary"]:
    """`scores` (after temperature) with -inf where a token is cut off; the same tensor when nothing is cut.

    top-k keeps the k most probable tokens; top-p the fewest most probable ones that hold at least that share;
    min-p those at least that many times as probable as the first. Tokens equal to the last one kept stay too,
    so that no sorting order decides. The most probable token always stays.
    """
    if 0 < top_k < scores.shape[-1]:
        last = scores.topk(top_k, dim=-1, sorted=True).values[:, -1:]
        scores = scores.masked_fill(scores < last, -torch.inf)
    if top_p < 1:
        scores = scores.masked_fill(scores < _nucleus_edge(scores, top_p), -torch.inf)
    if min_p > 0:
        edge = scores.amax(dim=-1, keepdim=True) + float(np.log(min_p))
        scores = scores.masked_fill(scores < edge, -torch.inf)
    return scores


def _nucleus_edge(scores: Tensor, top_p: float) -> Tensor:
    """The score of the last token in each row's nucleus, `[rows, 1]`."""
    total = torch.logsumexp(scores, dim=-1, keepdim=True)
    for candidates in (_NUCLEUS_CANDIDATES, scores.shape[-1]):
        ordered = scores.topk(min(candidates, scores.shape[-1]), dim=-1, sorted=True).values
        mass = (ordered - total).double().exp().cumsum(dim=-1)
        if bool((mass[:, -1] >= top_p).all()) or ordered.shape[-1] == scores.shape[-1]:
            break
    # a token is in the nucleus when those before it do not hold the share yet
    last = (mass[:, :-1] < top_p).sum(dim=-1, keepdim=True)
    return ordered.gather(-1, last)
