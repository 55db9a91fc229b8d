"""One scored response as people read it: texts and numbers, no token ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from posttrain.evaluation.printable import prompt_text
from posttrain.types import FinishReason, ScoredRollout


@dataclass(frozen=True, slots=True)
class Sample:
    """What logs, pages and tables show of a scored rollout; `length` is in tokens, its end token included.

    `to_dict` and `from_dict` go through JSON without loss.
    """

    prompt_id: str
    epoch: int
    sample_index: int
    prompt: str
    response: str
    score: float | None
    finish_reason: FinishReason
    length: int
    parts: Mapping[str, float | None] = field(default_factory=dict)
    failure: str | None = None

    @classmethod
    def of(cls, scored: ScoredRollout) -> Self:
        """The sample of a scored rollout."""
        rollout, score = scored.rollout, scored.score
        return cls(
            prompt_id=rollout.prompt.prompt_id,
            epoch=rollout.prompt.epoch,
            sample_index=rollout.sample_index,
            prompt=prompt_text(rollout.prompt),
            response=rollout.text,
            score=None if score.value is None else float(score.value),
            finish_reason=rollout.finish_reason,
            length=len(rollout.response_ids),
            parts=dict(score.parts),
            failure=score.failure,
        )

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The sample of a row; other keys of the row are left alone. KeyError when one is missing."""
        return cls(**{part.name: row[part.name] for part in dataclasses.fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under the fields' names."""
        row = {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}
        return {**row, "parts": dict(self.parts)}

    @property
    def is_cut(self) -> bool:
        """Whether the response was cut by length."""
        return self.finish_reason == "length"
