"""Keys and values of prompts, once for all their rows, and of the rows' own tokens, in pages written in place.

Attention of one new token for each row is three products with a joint softmax: with the prompt's keys (one product for
all rows of the prompt), with the row's own, and of the probabilities with the values. Heads that share a key head
are further rows of these products, so no key is ever repeated, and none is copied for a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posttrain.models.block_attention import Grid

_FEW_ROWS = 128
_SHORT_PAGE, _LONG_PAGE = 32, 64
"""Columns of a page with many and with few rows. A page is one product: more of them cost calls, longer ones memory."""


class PromptPlan:
    """The `AttentionPlan` of prompts that stand one behind another; keeps each layer's keys and values."""

    def __init__(self, lengths: Sequence[int], longest: int, device: torch.device) -> None:
        self.longest = longest
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self._grid = Grid.of(torch.split(torch.arange(sum(lengths)), list(lengths)), device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `AttentionPlan.attend`."""
        queries, keys, values = map(self._grid.gather, (query, key, value))
        self.keys[layer], self.values[layer] = keys.contiguous(), values.contiguous()
        # Behind a prompt's end a cell sees only what nobody reads.
        found = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=scale, enable_gqa=key.shape[1] != query.shape[1]
        )
        out = value.new_empty(*query.shape[:2], value.shape[2])
        return out.index_copy_(0, self._grid.tokens, self._grid.values(found))


@dataclass
class PromptStore:
    """Keys and values of the prompts in use, `[prompts, key_heads, longest, width]` for each layer."""

    lengths: Int[Tensor, " prompts"]
    keys: dict[int, Tensor]
    values: dict[int, Tensor]

    @classmethod
    def joined(cls, stores: Sequence[PromptStore]) -> PromptStore:
        """All prompts in order, padded to the longest."""
        if len(stores) == 1:
            return stores[0]
        longest = max(int(store.lengths.max()) for store in stores)
        layers = stores[0].keys

        def together(name: str) -> dict[int, Tensor]:
            return {
                layer: torch.cat([_padded(getattr(store, name)[layer], longest) for store in stores])
                for layer in layers
            }

        return cls(torch.cat([store.lengths for store in stores]), together("keys"), together("values"))

    def take(self, prompts: Int[Tensor, " kept"]) -> PromptStore:
        """These prompts only, in this order."""
        if len(prompts) == len(self.lengths) and bool((prompts == torch.arange(len(prompts))).all()):
            return self
        index = prompts.to(self.lengths.device)
        lengths = self.lengths[index]
        longest = int(lengths.max())
        return PromptStore(
            lengths,
            {layer: keys[index, :, :longest] for layer, keys in self.keys.items()},
            {layer: values[index, :, :longest] for layer, values in self.values.items()},
        )


@dataclass
class _Page:
    """A stretch of columns of all rows and layers; column c of every row is written in the same step."""

    size: int
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def keep(self, places: Tensor) -> None:
        for states in (self.keys, self.values):
            for layer in states:
                states[layer] = states[layer].index_select(0, places)


class ResponseCache:
    """The `AttentionPlan` of a step: one token of each row, behind its prompt and its own tokens.

    `begin_step` comes before the layers of a step, `keep` and `place` between steps.
    """

    def __init__(self, longest: int, device: torch.device) -> None:
        self.longest = longest
        self.prompts = PromptStore(torch.empty(0, dtype=torch.long, device=device), {}, {})
        self.prompt_of_row: Int[Tensor, " rows"] = torch.empty(0, dtype=torch.long)
        self._device = device
        self._starts: Int[Tensor, " rows"] = torch.empty(0, dtype=torch.long)
        self._pages: list[_Page] = []
        self._first_column = 0
        self._column = -1

    def place(self, rows: Sequence[int], prompt_of_row: Sequence[int], prompts: PromptStore) -> None:
        """New rows in these places, and the prompts of all rows; what stood in the places is not seen any more."""
        self.prompts = prompts
        if not len(self._starts):
            self._pages, self._first_column, self._column = [], 0, -1
            self._starts = torch.zeros(len(rows), dtype=torch.long)
        self._starts[list(rows)] = self._column + 1
        self.prompt_of_row = torch.tensor(prompt_of_row)
        self._find_grid()

    def keep(self, places: Int[Tensor, " kept"]) -> list[int]:
        """Only these rows, in this order, and the prompts they have, whose numbers it returns."""
        self._starts = self._starts[places]
        used, self.prompt_of_row = torch.unique(self.prompt_of_row[places], return_inverse=True)
        if not len(places):
            self._pages = []
            return []
        self.prompts = self.prompts.take(used)
        for page in self._pages:
            page.keep(places.to(self._device))
        self._find_grid()
        return [int(number) for number in used]

    def begin_step(self) -> None:
        """Makes room for a token of every row."""
        self._column += 1
        while self._pages and int(self._starts.min()) >= self._first_column + self._pages[0].size:
            self._first_column += self._pages.pop(0).size
        end = self._first_column + sum(page.size for page in self._pages)
        if not self._pages:
            self._first_column = end = self._column
        if self._column == end:
            self._pages.append(_Page(_SHORT_PAGE if len(self._starts) > _FEW_ROWS else _LONG_PAGE))
        self._hidden = self._hidden_columns()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `AttentionPlan.attend`; the new keys and values are appended."""
        self._append(layer, key, value)
        rows, heads, _ = query.shape
        key_heads = key.shape[1]
        own = query.reshape(rows * key_heads, heads // key_heads, -1)
        used = self._column + 1 - self._first_column
        scores = [self._prompt_products(query, self.prompts.keys[layer], scale)]
        for page in self._pages:
            keys = page.keys[layer].view(rows * key_heads, page.size, -1)
            scores.append(_products(own, keys.transpose(1, 2), scale)[..., :used])
            used -= page.size
        joint = torch.cat(scores, dim=-1)
        if self._hidden is not None:
            joint.view(rows, heads, -1).masked_fill_(self._hidden, -torch.inf)
        shares = torch.softmax(joint, dim=-1, dtype=_wide(query.dtype)).to(value.dtype)
        of_prompt, *of_pages = torch.split(shares, [part.shape[-1] for part in scores], dim=-1)
        out = self._prompt_mean(of_prompt.reshape(rows, heads, -1), self.prompts.values[layer])
        for page, part in zip(self._pages, of_pages, strict=True):
            values = page.values[layer].view(rows * key_heads, page.size, -1)
            out += torch.bmm(part.contiguous(), values[:, : part.shape[-1]]).view_as(out)
        return out.view(rows, heads, -1).to(value.dtype)

    def _append(self, layer: int, key: Tensor, value: Tensor) -> None:
        page = self._pages[-1]
        if layer not in page.keys:
            # Zeros: columns that no token has come to yet get into products, and numbers there must be finite.
            shape = (len(key), key.shape[1], page.size)
            page.keys[layer] = key.new_zeros(*shape, key.shape[2])
            page.values[layer] = value.new_zeros(*shape, value.shape[2])
        place = self._column - self._first_column - sum(page.size for page in self._pages[:-1])
        page.keys[layer][:, :, place] = key
        page.values[layer][:, :, place] = value

    def _find_grid(self) -> None:
        """Where each row stands among the rows of its prompt; None when that is the order they have anyway."""
        rows = len(self.prompt_of_row)
        counts = torch.bincount(self.prompt_of_row, minlength=len(self.prompts.lengths))
        self._most = int(counts.max())
        order = torch.argsort(self.prompt_of_row, stable=True)
        is_in_order = bool((order == torch.arange(rows)).all()) and bool((counts == self._most).all())
        self._cells = None
        if not is_in_order:
            rank = torch.empty(rows, dtype=torch.long)
            rank[order] = torch.arange(rows) - (counts.cumsum(0) - counts)[self.prompt_of_row[order]]
            self._cells = (self.prompt_of_row * self._most + rank).to(self._device)

    def _to_prompts(self, x: Tensor, key_heads: int) -> Tensor:
        """`[rows, heads, n]` -> `[prompts * key_heads, most * group, n]`, zeros where a prompt has fewer rows."""
        prompts, most = len(self.prompts.lengths), self._most
        cells = x
        if self._cells is not None:
            cells = x.new_zeros(prompts * most, *x.shape[1:]).index_copy_(0, self._cells, x)
        split = cells.view(prompts, most, key_heads, -1, x.shape[-1]).transpose(1, 2)
        return split.reshape(prompts * key_heads, -1, x.shape[-1])

    def _from_prompts(self, x: Tensor, key_heads: int) -> Tensor:
        """The way back."""
        prompts, most = len(self.prompts.lengths), self._most
        cells = x.view(prompts, key_heads, most, -1, x.shape[-1]).transpose(1, 2)
        cells = cells.reshape(prompts * most, -1, x.shape[-1])
        return cells if self._cells is None else cells.index_select(0, self._cells)

    def _prompt_products(self, query: Tensor, keys: Tensor, scale: float) -> Tensor:
        """Scores of every row with its prompt's keys, `[rows * key_heads, group, longest]`."""
        heads = keys.shape[1]
        found = _products(self._to_prompts(query, heads), keys.flatten(0, 1).transpose(1, 2), scale)
        return self._from_prompts(found, heads).reshape(len(query) * heads, -1, keys.shape[2])

    def _prompt_mean(self, shares: Tensor, values: Tensor) -> Tensor:
        """Sum of the prompts' values, weighted: `[rows, heads, width]`, wide enough to be added to."""
        heads = values.shape[1]
        found = torch.bmm(self._to_prompts(shares, heads), values.flatten(0, 1))
        return self._from_prompts(found, heads).to(_wide(values.dtype), copy=True)

    def _hidden_columns(self) -> Bool[Tensor, "rows 1 columns"] | None:
        """Prompt columns behind a prompt's end, and own columns of whoever was in a row's place before it."""
        lengths = self.prompts.lengths
        longest = int(lengths.max())
        behind_end = (torch.arange(longest, device=self._device) >= lengths[:, None])[
            self.prompt_of_row.to(self._device)
        ]
        columns = torch.arange(self._first_column, self._column + 1)
        before_start = (columns[None, :] < self._starts[:, None]).to(self._device)
        if not bool(behind_end.any()) and not bool(before_start.any()):
            return None
        return torch.cat([behind_end, before_start], dim=1)[:, None, :]


def _products(a: Float[Tensor, "n m k"], b: Float[Tensor, "n k l"], scale: float) -> Float[Tensor, "n m l"]:
    out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    return torch.baddbmm(out, a, b, beta=0, alpha=scale)


def _padded(states: Tensor, longest: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, 0, longest - states.shape[2]))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
