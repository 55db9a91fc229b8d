"""A prompt with its sampled responses: one line of a samples file.

    {"id": "q/1", "prompt": "What is 3 + 4?", "responses": ["7", "8"], "finish_reasons": ["eos", "eos"],
     "num_drawn": 2, "model": "smollm2", "answer": "7"}

`prompt` is text or a list of messages; what is not named here is a column of the prompt, for rewards. A line to
which a column `ranks` is added ([0, 1]: the first is the better one) is a ranking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from posttrain.data.finish_reasons import read_finish_reasons
from posttrain.data.messages import read_prompt
from posttrain.data.record_files import BadRecord, Record, column_of, kind_of, read_records
from posttrain.types import FinishReason, Message, Prompt, Rollout

OWN_COLUMNS: Final = ("id", "prompt", "responses", "finish_reasons", "num_drawn", "model")
"""What the line itself says; a prompt's further columns must have other names."""

_EXAMPLE: Final = '{"prompt": "What is 3 + 4?", "responses": ["7", "8"]}'


@dataclass(frozen=True, slots=True)
class SampledPrompt:
    """A prompt, the responses that were kept, and how many were drawn for it."""

    sample_id: str
    prompt: str | tuple[Message, ...]
    responses: tuple[str, ...]
    finish_reasons: tuple[FinishReason, ...]
    num_drawn: int
    model: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_duplicates(self) -> int:
        """Responses that were drawn and not kept, because an equal one was."""
        return self.num_drawn - len(self.responses)

    def rollouts(self) -> list[Rollout]:
        """The responses as rewards see them; token ids are not known any more."""
        prompt = Prompt(self.sample_id, self.prompt, self.columns)
        return [
            Rollout(prompt, index, (), (), reason, text, policy_version=0)
            for index, (text, reason) in enumerate(zip(self.responses, self.finish_reasons, strict=True))
        ]


def encode_sample(sample: SampledPrompt) -> bytes:
    """The line of a sample, newline included: the same sample gives the same bytes."""
    row = {
        "id": sample.sample_id,
        "prompt": sample.prompt,
        "responses": sample.responses,
        "finish_reasons": sample.finish_reasons,
        "num_drawn": sample.num_drawn,
        "model": sample.model,
        **sample.columns,
    }
    # Escapes outside ASCII: a response may hold half of a surrogate pair, which UTF-8 cannot write.
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def read_samples(path: str | Path) -> list[SampledPrompt]:
    """The file's samples, in order. DataError with file, line and reason for lines that cannot be used."""
    return read_records(path, _sample, what="samples", example=_EXAMPLE)


def _sample(record: Record, sample_id: str) -> SampledPrompt:
    responses = column_of(record, "responses")
    if not isinstance(responses, list) or not all(isinstance(text, str) for text in responses):
        raise BadRecord(f"the column 'responses' is {kind_of(responses)}; it must be a list of texts")
    if not responses:
        raise BadRecord("the column 'responses' is empty; leave the line out")
    ended: FinishReason = "eos"
    reasons = read_finish_reasons(record, len(responses)) or (ended,) * len(responses)
    num_drawn = record.get("num_drawn", len(responses))
    if not isinstance(num_drawn, int) or num_drawn < len(responses):
        raise BadRecord(f"num_drawn is {num_drawn!r}; it counts the responses ({len(responses)}) at least")
    return SampledPrompt(
        sample_id=sample_id,
        prompt=read_prompt(column_of(record, "prompt"), "prompt"),
        responses=tuple(responses),
        finish_reasons=reasons,
        num_drawn=num_drawn,
        model=str(record.get("model", "")),
        columns={name: value for name, value in record.items() if name not in OWN_COLUMNS},
    )
