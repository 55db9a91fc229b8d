"""Rows decoded together: prompts go through the model once, then every row gets a token a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posttrain.errors import InvariantError
from posttrain.models import LanguageModel
from posttrain.rollouts.kv_cache import GrowingCache
from posttrain.rollouts.sampling import draw, uniforms
from posttrain.rollouts.stopping import Stopping
from posttrain.types import FinishReason, Prompt, Sampling

# Rows that ended still cost a step; a smaller cache costs a copy. Below this share of rows it is worth it.
_COMPACT_BELOW = 0.85


@dataclass
class Row:
    """One response in the making."""

    prompt_index: int
    prompt: Prompt
    sample_index: int
    response_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


def finish_rows(
    language_model: LanguageModel,
    rows: Sequence[Row],
    sampling: Sampling,
    stopping: Stopping,
    after_step: Callable[[int, int], None],
) -> None:
    """Fills in ids, logprobs and finish reason of these rows, all decoded in one batch.

    `after_step` is called with the numbers of tokens sampled and of rows finished in each step.
    Raises InvariantError when the model's logits are no distribution.
    """
    wave = _Wave(language_model, rows, sampling)
    logits = wave.prefill()
    while True:
        drawn = draw(logits, wave.numbers(), sampling)
        finished = wave.take(drawn.token_ids.tolist(), drawn.logprobs.tolist(), stopping)
        after_step(*finished)
        if not wave.num_running:
            return
        logits = wave.step(drawn.token_ids)


class _Wave:
    def __init__(self, language_model: LanguageModel, rows: Sequence[Row], sampling: Sampling) -> None:
        self._language_model = language_model
        self._device = language_model.device
        self._rows = list(rows)
        self._cache = GrowingCache()
        self._num_sampled = 0
        numbers = np.stack([uniforms(sampling, row.prompt.group_id, row.sample_index) for row in rows])
        self._numbers = torch.from_numpy(numbers).to(self._device)

    @property
    def num_running(self) -> int:
        return sum(row.finish_reason is None for row in self._rows)

    def numbers(self) -> Tensor:
        return self._numbers[:, self._num_sampled]

    def prefill(self) -> Tensor:
        """Logits of each row's first token; prompts with the same ids are computed once."""
        distinct = {ids: i for i, ids in enumerate(dict.fromkeys(row.prompt.token_ids for row in self._rows))}
        longest = max(map(len, distinct))
        # Left padding puts every prompt's last token in one column; positions count from its first token.
        token_ids = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in distinct])
        lengths = torch.tensor([len(ids) for ids in distinct])
        columns = torch.arange(longest)
        mask = columns[None, :] >= longest - lengths[:, None]
        positions = (columns[None, :] - (longest - lengths)[:, None]).clamp(min=0)
        self._mask, self._positions = mask.to(self._device), positions[:, -1].to(self._device)
        logits = self._forward(token_ids.to(self._device), positions.to(self._device))
        of_rows = torch.tensor([distinct[row.prompt.token_ids] for row in self._rows], device=self._device)
        self._take_rows(of_rows)
        return logits[of_rows]

    def take(
        self, token_ids: Sequence[int], logprobs: Sequence[float], stopping: Stopping
    ) -> tuple[int, int]:
        """Append the drawn ids to the rows that go on; how many those are, and how many of them ended."""
        num_running = self.num_running
        for row, token_id, logprob in zip(self._rows, token_ids, logprobs, strict=True):
            if row.finish_reason is not None:
                continue
            if logprob != logprob:
                raise InvariantError(
                    f"the model's logits for prompt {row.prompt.prompt_id!r} are no distribution (NaN or infinite) "
                    f"at response token {len(row.response_ids)}. Its weights are likely broken: look for a "
                    "learning rate that is too high, or load an earlier checkpoint."
                )
            row.response_ids.append(token_id)
            row.logprobs.append(logprob)
            row.finish_reason = stopping.reason(row.response_ids)
        self._num_sampled += 1
        return num_running, num_running - self.num_running

    def step(self, token_ids: Tensor) -> Tensor:
        """Logits of the token after these, for the rows that are left."""
        running = [i for i, row in enumerate(self._rows) if row.finish_reason is None]
        if len(running) < _COMPACT_BELOW * len(self._rows):
            index = torch.tensor(running, device=self._device)
            token_ids, self._numbers = token_ids[index], self._numbers[index]
            self._take_rows(index)
            self._rows = [self._rows[i] for i in running]
        self._positions = self._positions + 1
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=True)
        return self._forward(token_ids[:, None], self._positions[:, None])

    def _take_rows(self, index: Tensor) -> None:
        self._cache.take_rows(index)
        self._mask, self._positions = self._mask[index], self._positions[index]

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
