"""Attention over blocks of packed tokens, with gradients: a prompt once, and behind it each of its responses.

A block sees itself causally, and a response also the whole of its prompt. Both parts are computed apart, by the
flash kernel of PyTorch for CPUs, and joined by their log-sum-exps: softmax over `[a, b]` is the mean of the two
softmaxes weighted by their totals (as in FlashAttention, Dao et al. 2022, between tiles). In backward each part gets
the joined output and log-sum-exp, from which it recomputes its own probabilities, so the parts' gradients add up to
those of the whole. Grouped-query attention repeats no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

_FLASH_FROM = 128
"""Keys above which the flash kernel's backward pass is faster than whole matrix products."""
_TILE_ELEMENTS = 2**20
"""Scores that are computed at a time by whole matrix products: 4 MiB in float32, which stay in the cache."""
_WASTE = 1.25
"""Blocks share a grid while its cells are at most so many times their tokens."""


@dataclass(frozen=True)
class Grid:
    """Sequences of like length side by side, `[rows, longest]`: which tokens of the packed row stand where."""

    rows: int
    longest: int
    index: Int[Tensor, " cells"]
    """The token of each cell; token 0 behind a sequence's end."""
    places: Int[Tensor, " tokens"]
    """The cell of each token, in the order of `tokens`."""
    tokens: Int[Tensor, " tokens"]

    @classmethod
    def of(cls, sequences: Sequence[Tensor], device: torch.device | None = None) -> Grid:
        """Of tensors of token numbers, one a row."""
        longest = max(len(sequence) for sequence in sequences)
        index = torch.zeros(len(sequences), longest, dtype=torch.long)
        is_token = torch.zeros(len(sequences), longest, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            index[row, : len(sequence)] = sequence
            is_token[row, : len(sequence)] = True
        places = is_token.flatten().nonzero()[:, 0]
        parts = (index.flatten(), places, index.flatten()[places])
        return cls(len(sequences), longest, *(part.to(device) for part in parts))

    @property
    def lengths(self) -> Int[Tensor, " rows"]:
        """Tokens of each row."""
        return torch.bincount(self.places // self.longest, minlength=self.rows)

    @property
    def is_full(self) -> bool:
        """Whether every cell holds a token."""
        return len(self.places) == len(self.index)

    def gather(self, x: Float[Tensor, "tokens heads width"]) -> Float[Tensor, "rows heads longest width"]:
        """The tokens' vectors in their cells; those of token 0 in the others."""
        cells = x.index_select(0, self.index)
        return cells.view(self.rows, self.longest, *x.shape[1:]).transpose(1, 2)

    def gather_or(self, filling: float, x: Tensor) -> Tensor:
        """The same with `filling` behind a sequence's end."""
        if self.is_full:
            return self.gather(x)
        cells = x.new_full((len(self.index), *x.shape[1:]), filling)
        cells.index_copy_(0, self.places, x.index_select(0, self.tokens))
        return cells.view(self.rows, self.longest, *x.shape[1:]).transpose(1, 2)

    def values(self, cells: Float[Tensor, "rows heads longest *width"]) -> Tensor:
        """The vectors of `tokens`, in that order: what `gather` is undone by."""
        flat = cells.transpose(1, 2).reshape(self.rows * self.longest, cells.shape[1], *cells.shape[3:])
        return flat if self.is_full else flat.index_select(0, self.places)


@dataclass(frozen=True)
class Crossing:
    """Responses beside their prompts: every query of row i may see every key of row i."""

    queries: Grid
    keys: Grid


class BlockPlan:
    """The `AttentionPlan` of prompts and responses that stand one behind another in a packed row.

    `prompts[i]` tokens of prompt i come first, prompt after prompt; then the responses, `responses[j]` tokens each,
    of the prompt with number `parents[j]`. Without responses these are documents that do not see each other.
    """

    def __init__(
        self, prompts: Sequence[int], responses: Sequence[int] = (), parents: Sequence[int] = ()
    ) -> None:
        blocks = torch.split(torch.arange(sum(prompts) + sum(responses)), [*prompts, *responses])
        own = [block for block in blocks[len(prompts) :] if len(block)]
        self.num_tokens = sum(prompts) + sum(responses)
        self.causal = grids_of_like_lengths([*blocks[: len(prompts)], *own])
        behind: list[list[Tensor]] = [[] for _ in prompts]
        for parent, block in zip(parents, blocks[len(prompts) :], strict=True):
            behind[parent].append(block)
        with_responses = [i for i, found in enumerate(behind) if sum(map(len, found))]
        self.crossings = [
            Crossing(
                Grid.of([torch.cat(behind[with_responses[i]]) for i in part]),
                Grid.of([blocks[with_responses[i]] for i in part]),
            )
            for part in parts_of_like_lengths(
                [(sum(map(len, behind[i])), prompts[i]) for i in with_responses]
            )
        ]
        ends = [prompts[parent] + count for parent, count in zip(parents, responses, strict=True)]
        self.longest = max([*prompts, *ends], default=0)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `AttentionPlan.attend`; gradients flow."""
        found: Tensor = _Attention.apply(query, key, value, self, scale)  # type: ignore[no-untyped-call]
        return found


def grids_of_like_lengths(blocks: Sequence[Tensor]) -> list[Grid]:
    """All blocks in grids that hold little else."""
    return [Grid.of([blocks[i] for i in part]) for part in parts_of_like_lengths([(len(b),) for b in blocks])]


def parts_of_like_lengths(sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The numbers of all items, in parts: no padded size of a part is over `_WASTE` times what its items sum to."""
    parts: list[list[int]] = []
    for item in sorted(range(len(sizes)), key=lambda item: sizes[item], reverse=True):
        candidate = [*parts[-1], item] if parts else []
        if candidate and all(
            len(candidate) * max(lengths) <= _WASTE * sum(lengths)
            for lengths in zip(*(sizes[i] for i in candidate), strict=True)
        ):
            parts[-1] = candidate
        else:
            parts.append([item])
    return parts


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: BlockPlan, scale: float) -> Tensor:
        # Kernels read these again and again: rotary embeddings leave them in any order.
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        out = value.new_empty(*query.shape[:2], value.shape[2])
        totals = torch.empty(query.shape[:2], dtype=_total_dtype(query), device=query.device)
        for grid in plan.causal:
            found, total = flash(*map(grid.gather, (query, key, value)), scale=scale, is_causal=True)
            out.index_copy_(0, grid.tokens, grid.values(found))
            totals.index_copy_(0, grid.tokens, grid.values(total))
        for crossing in plan.crossings:
            found, total = flash(
                crossing.queries.gather(query),
                crossing.keys.gather(key),
                crossing.keys.gather(value),
                scale=scale,
                mask=_key_mask(crossing.keys, query),
            )
            _join(crossing.queries, out, totals, found, total)
        ctx.save_for_backward(query, key, value, out, totals)
        ctx.plan, ctx.scale = plan, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # read once: a checkpointed layer allows no more
        query, key, value, *_ = saved
        gradients = tuple(torch.zeros_like(x) for x in (query, key, value))
        for grid in ctx.plan.causal:
            _add_gradients(gradients, grid, grid, grad_out, saved, scale=ctx.scale, is_causal=True)
        for crossing in ctx.plan.crossings:
            mask = _key_mask(crossing.keys, query)
            _add_gradients(
                gradients, crossing.queries, crossing.keys, grad_out, saved, scale=ctx.scale, mask=mask
            )
        return (*gradients, None, None)


def _join(grid: Grid, out: Tensor, totals: Tensor, found: Tensor, total: Tensor) -> None:
    """Joins a second part of what these queries see into the first, in place."""
    second, second_total = grid.values(found), grid.values(total)
    first, first_total = out.index_select(0, grid.tokens), totals.index_select(0, grid.tokens)
    joined = torch.logaddexp(first_total, second_total)
    weights = (first_total - joined).exp()[..., None], (second_total - joined).exp()[..., None]
    out.index_copy_(0, grid.tokens, (first * weights[0] + second * weights[1]).to(out.dtype))
    totals.index_copy_(0, grid.tokens, joined)


def _add_gradients(
    gradients: tuple[Tensor, ...], queries: Grid, keys: Grid, grad_out: Tensor, saved: Sequence[Tensor],
    **options: Any,
) -> None:  # fmt: skip
    query, key, value, out, totals = saved
    backward = flash_backward if keys.longest > _FLASH_FROM else product_backward
    found = backward(
        # A cell without a token has no part in anything: its probabilities are exp(score - inf).
        queries.gather_or(0.0, grad_out),
        queries.gather(query),
        keys.gather(key),
        keys.gather(value),
        queries.gather(out),
        queries.gather_or(torch.inf, totals),
        **options,
    )
    for total, grid, part in zip(gradients, (queries, keys, keys), found, strict=True):
        total.index_add_(0, grid.tokens, grid.values(part))


def _key_mask(keys: Grid, like: Tensor) -> Tensor | None:
    """`[rows, 1, 1, longest]` to be added to scores; None where every cell is a key."""
    if keys.is_full:
        return None
    is_key = torch.arange(keys.longest, device=like.device)[None, :] < keys.lengths[:, None]
    return torch.zeros_like(is_key, dtype=like.dtype).masked_fill_(~is_key, -torch.inf)[:, None, None, :]


def _total_dtype(query: Tensor) -> torch.dtype:
    return torch.float64 if query.dtype == torch.float64 else torch.float32


def flash(
    query: Float[Tensor, "rows heads queries width"],
    key: Float[Tensor, "rows key_heads keys width"],
    value: Float[Tensor, "rows key_heads keys width"],
    *,
    scale: float,
    is_causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Float[Tensor, "rows heads queries"]]:
    """Attention and the log-sum-exp of each query's scores, by the CPU's kernel."""
    out, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale
    )
    return out, total


def flash_backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, totals: Tensor,
    *, scale: float, is_causal: bool = False, mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of query, key and value, from the output and log-sum-exps of all that the queries see."""
    grad_query, grad_key, grad_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad_out, query, key, value, out, totals, 0.0, is_causal, attn_mask=mask, scale=scale
    )
    return grad_query, grad_key, grad_value


def product_backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, totals: Tensor,
    *, scale: float, is_causal: bool = False, mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The same as `flash_backward` by matrix products over all pairs: faster where sequences are short.

    Scores are float32 at least; probabilities are rounded to the dtype of `value` where they are multiplied again.
    """
    rows, heads, num_queries, _ = query.shape
    key_heads, num_keys = key.shape[1], key.shape[2]
    wide = totals.dtype
    gradients = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (query, key, value))
    step = max(1, _TILE_ELEMENTS // (heads * num_queries * num_keys))
    hidden = None
    if is_causal:
        hidden = torch.ones(num_queries, num_keys, dtype=torch.bool, device=query.device).triu_(1)
    for start in range(0, rows, step):
        part = slice(start, start + step)

        def by_key_head(x: Tensor, part: slice = part) -> Tensor:
            # Heads that share a key head are more queries of it: nothing is repeated.
            return x[part].reshape(-1, heads // key_heads * num_queries, *x.shape[3:])

        q, g, o, total = map(by_key_head, (query, grad_out, out, totals))
        k, v = (x[part].reshape(-1, num_keys, x.shape[3]) for x in (key, value))
        scores = torch.bmm(q.to(wide) * scale, k.to(wide).transpose(1, 2))
        if mask is not None:
            scores += mask[part].to(wide).expand(-1, key_heads, 1, -1).reshape(-1, 1, num_keys)
        if hidden is not None:
            scores.view(len(k), -1, num_queries, num_keys).masked_fill_(hidden, -torch.inf)
        probabilities = scores.sub_(total[..., None]).exp_()
        wide_g = g.to(wide)
        slopes = torch.bmm(wide_g, v.to(wide).transpose(1, 2))
        slopes = slopes.sub_((wide_g * o).sum(dim=-1, keepdim=True)).mul_(probabilities).mul_(scale)
        slopes, probabilities = slopes.to(query.dtype), probabilities.to(value.dtype)
        found = (
            torch.bmm(slopes, k),
            torch.bmm(slopes.transpose(1, 2), q),
            torch.bmm(probabilities.transpose(1, 2), g),
        )
        for gradient, piece in zip(gradients, found, strict=True):
            gradient[part] = piece.view_as(gradient[part])
    grad_query, grad_key, grad_value = gradients
    return grad_query, grad_key, grad_value
