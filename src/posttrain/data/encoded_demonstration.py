"""A demonstration as token ids, with the spans of them that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""Tokens `start` to `stop`, the last one not included."""


@dataclass(frozen=True, slots=True)
class EncodedDemonstration:
    """A demonstration as ids; the tokens of the spans in `targets` are learned, everything else is only read.

    Example (ChatML, one question and its answer; `·` stands for one token):
        <|im_start|> user \\n  Hi <|im_end|> \\n <|im_start|> assistant \\n  Hello ! <|im_end|> \\n
             ·        ·   ·   ·      ·       ·       ·           ·      ·     [·   ·     ·]    ·
        targets = ((9, 12),)
    """

    demonstration_id: str
    token_ids: Sequence[int]
    targets: tuple[Span, ...]
    num_cut_tokens: int = 0

    @property
    def num_targets(self) -> int:
        """Tokens that are learned."""
        return sum(stop - start for start, stop in self.targets)

    @property
    def loss_mask(self) -> list[bool]:
        """One entry a token; True counts."""
        mask = [False] * len(self.token_ids)
        for start, stop in self.targets:
            mask[start:stop] = [True] * (stop - start)
        return mask

    def truncated(self, max_length: int) -> EncodedDemonstration:
        """The first `max_length` tokens with what is learned of them."""
        too_many = len(self.token_ids) - max_length
        if too_many <= 0:
            return self
        spans = ((start, min(stop, max_length)) for start, stop in self.targets)
        kept = tuple(span for span in spans if span[0] < span[1])
        return EncodedDemonstration(
            self.demonstration_id, self.token_ids[:max_length], kept, self.num_cut_tokens + too_many
        )
