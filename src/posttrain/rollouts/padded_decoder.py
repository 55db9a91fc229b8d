"""Decoding for any model with a key-value cache of transformers: every row by itself, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from posttrain.models import LanguageModel
from posttrain.rollouts.kv_cache import GrowingCache
from posttrain.types import Prompt


class PaddedDecoder:
    """A `RowDecoder` that begins all its rows at once; see `decoding`."""

    takes_more = False

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model
        self._device = language_model.device
        self._cache = GrowingCache()

    def admit(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Tensor:
        """Logits of each row's first token; prompts with the same ids are computed once."""
        self._cache = GrowingCache()
        distinct = {ids: i for i, ids in enumerate(dict.fromkeys(prompt.token_ids for prompt in prompts))}
        longest = max(map(len, distinct))
        # Left padding puts every prompt's last token in one column; positions count from its first token.
        token_ids = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in distinct])
        lengths = torch.tensor([len(ids) for ids in distinct])
        columns = torch.arange(longest)
        mask = columns[None, :] >= longest - lengths[:, None]
        positions = (columns[None, :] - (longest - lengths)[:, None]).clamp(min=0)
        self._mask, self._positions = mask.to(self._device), positions[:, -1].to(self._device)
        logits = self._forward(token_ids.to(self._device), positions.to(self._device))
        of_rows = torch.tensor([distinct[prompt.token_ids] for prompt in prompts], device=self._device)
        self.keep(of_rows)
        return logits[of_rows]

    def keep(self, places: Tensor) -> None:
        """See `RowDecoder.keep`; a place may be taken more than once."""
        if len(places):
            places = places.to(self._device)
            self._cache.take_rows(places)
            self._mask, self._positions = self._mask[places], self._positions[places]

    def step(self, token_ids: Tensor) -> Tensor:
        """Logits of the token after these."""
        self._positions = self._positions + 1
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=True)
        return self._forward(token_ids[:, None], self._positions[:, None])

    def _forward(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        output = decoder_output(self._language_model, token_ids, self._mask, positions, self._cache)
        return self._language_model.head.logits(output[:, -1])


def decoder_output(
    language_model: LanguageModel, token_ids: Tensor, mask: Tensor, positions: Tensor, cache: GrowingCache
) -> Tensor:
    """Last hidden states `[rows, new tokens, width]`; keys and values are appended to `cache`."""
    decoder: Any = language_model.causal_lm.base_model
    output = decoder(
        input_ids=token_ids,
        attention_mask=mask.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden
