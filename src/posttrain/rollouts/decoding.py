"""The loop of sampling: rows get a token a step, rows that ended leave, rows that wait take their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posttrain.errors import InvariantError
from posttrain.rollouts.sampling import Draw, draw, uniforms
from posttrain.rollouts.stopping import Stopping
from posttrain.types import FinishReason, Prompt, Sampling

_KEEP_ABOVE = 0.9
"""Rows that ended still cost a step, and leaving costs a copy of the others' cache: below this share it is worth it."""
_REFILL_SHARE = 1 / 8
"""Of the places, so many are free before waiting rows take them: their prompts go through the model together."""


@dataclass
class Row:
    """One response in the making."""

    prompt_index: int
    prompt: Prompt
    sample_index: int
    response_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


class RowDecoder(Protocol):
    """A model with a cache for the rows that it decodes together; rows are known by their places, 0, 1, ..."""

    takes_more: bool
    """Whether rows may join while others are under way."""

    def admit(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Float[Tensor, "rows vocabulary"]:
        """Begins a row with each prompt, in these places (of rows that ended, or the next ones), and returns the logits
        of their first tokens."""
        ...

    def keep(self, places: Int[Tensor, " kept"]) -> None:
        """Forgets all rows but these, which then have the places 0, 1, ... in this order."""
        ...

    def step(self, token_ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """Appends a token to every row, and returns the logits of the next ones."""
        ...


def decode(
    decoder: RowDecoder,
    rows: Sequence[Row],
    sampling: Sampling,
    stopping: Stopping,
    *,
    max_rows: int,
    device: torch.device,
    after_step: Callable[[int, int], None],
) -> None:
    """Fills in ids, logprobs and finish reason of these rows, at most `max_rows` of them at a time.

    `after_step` is called with the numbers of tokens sampled and of rows finished in each step.
    Raises InvariantError when the model's logits are no distribution.
    """
    waiting = list(reversed(rows))
    batch = _Batch(decoder, sampling, stopping, device, after_step)
    while True:
        ended = batch.ended_places()
        free = max_rows - len(batch.rows) if not batch.rows else len(ended)
        all_ended = len(ended) == len(batch.rows)
        if waiting and (all_ended or (decoder.takes_more and free >= max(1, max_rows * _REFILL_SHARE))):
            if all_ended:
                batch.clear()
                ended, free = [], max_rows
            joining = [waiting.pop() for _ in range(min(free, len(waiting)))]
            batch.admit(joining, ended[: len(joining)] or list(range(len(joining))))
            continue
        if all_ended:
            return
        if not waiting and len(batch.rows) - len(ended) < _KEEP_ABOVE * len(batch.rows):
            batch.drop(ended)
        batch.step()


class _Batch:
    """The rows that are decoded together: what the decoder holds, and what of it is still running."""

    def __init__(
        self,
        decoder: RowDecoder,
        sampling: Sampling,
        stopping: Stopping,
        device: torch.device,
        after_step: Callable[[int, int], None],
    ) -> None:
        self.rows: list[Row] = []
        self._decoder, self._sampling, self._stopping = decoder, sampling, stopping
        self._device, self._after_step = device, after_step
        self._uniforms = torch.empty(0, sampling.max_new_tokens, dtype=torch.float64)
        self._last_ids: list[int] = []

    def ended_places(self) -> list[int]:
        return [place for place, row in enumerate(self.rows) if row.finish_reason is not None]

    def clear(self) -> None:
        self._decoder.keep(torch.empty(0, dtype=torch.long))
        self.rows, self._last_ids = [], []
        self._uniforms = self._uniforms[:0]

    def drop(self, places: Sequence[int]) -> None:
        kept = sorted(set(range(len(self.rows))) - set(places))
        self._decoder.keep(torch.tensor(kept))
        self.rows = [self.rows[place] for place in kept]
        self._last_ids = [self._last_ids[place] for place in kept]
        self._uniforms = self._uniforms[kept]

    def admit(self, joining: Sequence[Row], places: Sequence[int]) -> None:
        """Begins these rows in these places, and draws their first tokens."""
        logits = self._decoder.admit([row.prompt for row in joining], places)
        numbers = torch.from_numpy(
            np.stack([uniforms(self._sampling, row.prompt.group_id, row.sample_index) for row in joining])
        )
        if self.rows:
            self._uniforms[list(places)] = numbers
            for place, row in zip(places, joining, strict=True):
                self.rows[place] = row
        else:
            self._uniforms, self.rows, self._last_ids = numbers, list(joining), [0] * len(joining)
        self._take(places, draw(logits, numbers[:, 0].to(self._device), self._sampling))

    def step(self) -> None:
        """A token for every row; those of rows that ended are thrown away."""
        logits = self._decoder.step(torch.tensor(self._last_ids, device=self._device))
        last = self._sampling.max_new_tokens - 1
        index = torch.tensor([min(len(row.response_ids), last) for row in self.rows])
        numbers = self._uniforms.gather(1, index[:, None])[:, 0].to(self._device)
        self._take(range(len(self.rows)), draw(logits, numbers, self._sampling))

    def _take(self, places: Sequence[int], drawn: Draw) -> None:
        num_sampled = num_finished = 0
        drawn_rows = zip(places, drawn.token_ids.tolist(), drawn.logprobs.tolist(), strict=True)
        for place, token_id, logprob in drawn_rows:
            row = self.rows[place]
            self._last_ids[place] = token_id
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
            row.finish_reason = self._stopping.reason(row.response_ids)
            num_sampled += 1
            num_finished += row.finish_reason is not None
        self._after_step(num_sampled, num_finished)
