"""When a response is over, why, and the text that is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posttrain.data.chat_template import decode_response
from posttrain.types import FinishReason, Sampling


class Stopping:
    """The rules of one call of an engine. Ids are never altered: only the text is cut."""

    def __init__(self, tokenizer: Any, sampling: Sampling) -> None:
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._eos = frozenset(sampling.eos_token_ids)
        # A stop string of n bytes spans at most n tokens that show; a few more for what decodes to nothing.
        self._window = max((len(stop.encode()) for stop in sampling.stop), default=0) + 4

    def reason(self, response_ids: Sequence[int]) -> FinishReason | None:
        """Why the response is over after its last id, or None while it goes on.

        An end-of-sequence id counts first, also as the last one that the budget allows.
        """
        if response_ids[-1] in self._eos:
            return "eos"
        if self._sampling.stop and self._stop_appeared(response_ids):
            return "stop"
        return "length" if len(response_ids) >= self._sampling.max_new_tokens else None

    def text(self, response_ids: Sequence[int], reason: FinishReason) -> str:
        """The response as people and rewards see it: without end of sequence, cut before the stop string."""
        text = decode_response(self._tokenizer, response_ids, self._sampling.eos_token_ids)
        if reason == "stop":
            text = text[: min(at for stop in self._sampling.stop if (at := text.find(stop)) >= 0)]
        return text

    def _stop_appeared(self, response_ids: Sequence[int]) -> bool:
        recent = self._decode(response_ids[-self._window :])
        if not any(stop in recent for stop in self._sampling.stop):
            return False
        # The window may begin inside a character or a word: the whole response decides.
        whole = self._decode(response_ids)
        return any(stop in whole for stop in self._sampling.stop)

    def _decode(self, ids: Sequence[int]) -> str:
        return decode_response(self._tokenizer, ids, ())
