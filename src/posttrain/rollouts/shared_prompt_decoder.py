"""Decoding with each prompt computed and held once for all its rows, which come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from posttrain.models import LanguageModel
from posttrain.models.attention_plan import UnknownAttentionError, planned_hidden_states
from posttrain.rollouts.response_cache import PromptPlan, PromptStore, ResponseCache
from posttrain.types import Prompt

_PREFILL_TOKENS = 8192
"""Prompt tokens that go through the model at a time: matrix products are at full speed, and memory is bounded."""


class SharedPromptDecoder:
    """A `RowDecoder` for models whose attention is left to a plan; see `models.attention_plan`.

    `longest` is the length of the longest prompt with its longest response.
    """

    takes_more = True

    def __init__(self, language_model: LanguageModel, longest: int) -> None:
        self._language_model = language_model
        self._trunk: Any = language_model.causal_lm.base_model
        self._device = language_model.device
        self._longest = longest
        self._cache = ResponseCache(longest, self._device)
        self._ids: list[tuple[int, ...]] = []
        """The prompt of each place."""
        self._known: list[tuple[int, ...]] = []
        """The prompt of each number in the cache."""
        self._positions = torch.empty(0, dtype=torch.long, device=self._device)

    def admit(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Tensor:
        """Logits of the new rows' first tokens; a prompt that other rows have is not held twice."""
        if not self._ids:
            self._ids = [()] * len(prompts)
            self._positions = self._positions.new_zeros(len(prompts))
        asked = [prompt.token_ids for prompt in prompts]
        new = list(dict.fromkeys(asked))
        hidden, store = self._read(new)
        for place, ids in zip(places, asked, strict=True):
            self._ids[place] = ids
        self._positions[list(places)] = torch.tensor([len(ids) for ids in asked], device=self._device) - 1
        self._cache.place(places, *self._all_prompts(new, store))
        of_rows = torch.tensor([new.index(ids) for ids in asked], device=self._device)
        return self._language_model.head.logits(hidden)[of_rows]

    def keep(self, places: Tensor) -> None:
        """See `RowDecoder.keep`."""
        self._ids = [self._ids[place] for place in places.tolist()]
        self._positions = self._positions[places.to(self._device)]
        self._known = [self._known[number] for number in self._cache.keep(places)]

    def step(self, token_ids: Tensor) -> Tensor:
        """Logits of the tokens after these."""
        # Rows that ended go along until they are replaced: their positions must stay in the model's range.
        self._positions = (self._positions + 1).clamp(max=self._longest - 1)
        self._cache.begin_step()
        hidden = planned_hidden_states(self._trunk, token_ids, self._positions, self._cache)
        return self._language_model.head.logits(hidden)

    def _all_prompts(
        self, new: Sequence[tuple[int, ...]], store: PromptStore
    ) -> tuple[list[int], PromptStore]:
        """For each place the number of its prompt, and the prompts: those still in use, and the new ones."""
        used = dict.fromkeys(self._ids)
        known = {ids: i for i, ids in enumerate(self._known) if ids in used and ids not in set(new)}
        stores = [store]
        if known:
            stores.insert(0, self._cache.prompts.take(torch.tensor(list(known.values()))))
        self._known = [*known, *new]
        number = {ids: i for i, ids in enumerate(self._known)}
        return [number[ids] for ids in self._ids], PromptStore.joined(stores)

    def _read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, PromptStore]:
        """The last hidden state of each prompt, and its keys and values."""
        hidden, stores, start = [], [], 0
        while start < len(prompts):
            stop, longest = start + 1, len(prompts[start])
            while stop < len(prompts):
                longest = max(longest, len(prompts[stop]))
                if longest * (stop + 1 - start) > _PREFILL_TOKENS:
                    break
                stop += 1
            lengths = torch.tensor([len(ids) for ids in prompts[start:stop]])
            plan = PromptPlan(lengths.tolist(), self._longest, self._device)
            states = planned_hidden_states(
                self._trunk,
                torch.tensor([i for ids in prompts[start:stop] for i in ids], device=self._device),
                torch.cat([torch.arange(n) for n in lengths.tolist()]).to(self._device),
                plan,
            )
            hidden.append(states[(lengths.cumsum(0) - 1).to(self._device)])
            stores.append(PromptStore(lengths.to(self._device), plan.keys, plan.values))
            start = stop
        return torch.cat(hidden), PromptStore.joined(stores)


@torch.no_grad()
def reaches_back(language_model: LanguageModel, longest: int) -> bool:
    """Whether every layer of a model that shares prompts sees so many tokens: no sliding window cuts them."""
    token = torch.zeros(1, dtype=torch.long, device=language_model.device)
    plan = PromptPlan([1], longest, language_model.device)
    try:
        planned_hidden_states(language_model.causal_lm.base_model, token, token, plan)
    except UnknownAttentionError:
        return False
    return True


@torch.no_grad()
def shares_prompts_exactly(language_model: LanguageModel) -> bool:
    """Whether decoding so gives what one pass over the whole gives; False for models whose attention knows no plan."""
    vocabulary = language_model.head.weight.shape[0]
    # From the middle of the vocabulary: special tokens, which stand at its ends, may round wildly in bfloat16.
    rows = [
        [(vocabulary // 2 + i) % vocabulary for i in row]
        for row in ((1, 2, 3, 6, 7), (1, 2, 3, 5, 1), (4, 5, 3, 2), (4, 5, 9, 8))
    ]
    ends = [len(row) - 2 for row in rows]
    decoder = SharedPromptDecoder(language_model, max(map(len, rows)))
    try:
        asked = [
            Prompt(str(i), "", token_ids=tuple(row[:end]))
            for i, (row, end) in enumerate(zip(rows, ends, strict=True))
        ]
        decoder.admit(asked, range(len(rows)))
        decoder.step(torch.tensor([row[-2] for row in rows], device=language_model.device))
        decoder.keep(torch.tensor([0, 1, 3]))
        found = decoder.step(torch.tensor([rows[i][-1] for i in (0, 1, 3)], device=language_model.device))
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    trunk: Any = language_model.causal_lm.base_model
    for logits, row in zip(found, (rows[0], rows[1], rows[3]), strict=True):
        ids = torch.tensor([row], device=language_model.device)
        hidden = trunk(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
        expected = language_model.head.logits(hidden[None])[0].float()
        tolerance = 1e-3 if language_model.dtype in (torch.float32, torch.float64) else 0.05
        if (logits.float() - expected).norm() > tolerance * expected.norm():
            return False
    return True
