"""What every format is read into: an item, and what people have said of it already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posttrain.data.messages import read_prompt
from posttrain.data.record_files import BadRecord, kind_of
from posttrain.preferences.store.records import JudgementKind, NewItem
from posttrain.types import Message


@dataclass(frozen=True, slots=True)
class ImportedJudgement:
    """One person's judgement of one item; the words are those of `Submission`.

    `submission_id` is empty where the file has none, `order_shown` where it does not say how the cards stood. The
    judgements that this one corrects are in `earlier`, oldest first.
    """

    annotator: str
    kind: JudgementKind = "ranking"
    ranks: tuple[int, ...] | None = None
    unacceptable: tuple[bool, ...] = ()
    grades: tuple[int | None, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    is_flagged: bool = False
    order_shown: tuple[int, ...] = ()
    guideline_version: int | None = None
    seconds: float = 0.0
    submitted_at: float | None = None
    submission_id: str = ""
    settles: bool = False
    earlier: tuple[ImportedJudgement, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedGuideline:
    """A version of what annotators were told, as an export carries it."""

    version: int
    text: str
    created_at: float
    author: str


@dataclass(frozen=True, slots=True)
class ImportedRecord:
    """One record of a file. `left_out` has a reason for everything in it that is not kept."""

    item: NewItem
    judgements: tuple[ImportedJudgement, ...] = ()
    left_out: tuple[str, ...] = ()
    guidelines: tuple[ImportedGuideline, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that is well formed and has nothing to rank, and why."""

    reason: str


@dataclass(frozen=True)
class ReadingOptions:
    """What a file does not say of itself.

    `annotator` made the judgements that have no name, `annotator_names` turns names in the file into other ones.
    `prompt_field`, `response_fields` (in the order of left and right, or of the ranks' names) and `buckets` (best
    first) are for formats that leave open which field is what; None means to find out from their names.
    """

    annotator: str
    annotator_names: Mapping[str, str] = field(default_factory=dict)
    prompt_field: str | None = None
    response_fields: tuple[str, ...] | None = None
    buckets: tuple[str, ...] | None = None

    def name_of(self, given: Any) -> str:
        """What an annotator of the file is called in the store."""
        name = str(given).strip() if given is not None else ""
        return self.annotator_names.get(name, name) or self.annotator


def without_gaps(values: Sequence[float]) -> tuple[int, ...]:
    """Ranks from 0 by these values, the smallest best; equal values share a rank. (3, 1, 3) -> (1, 0, 1)."""
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    return tuple(places[value] for value in values)


def prompt_of(value: Any, column: str) -> str | tuple[Message, ...]:
    """A prompt as it stands, halves of surrogate pairs included; BadRecord where it is none."""
    read_prompt(_readable(value), column)
    if isinstance(value, str):
        return value
    return tuple(Message(role=message["role"], content=message["content"]) for message in value)


def responses_of(value: Any, column: str) -> tuple[str, ...]:
    """The texts of a list, as they stand; BadRecord for anything else."""
    if not isinstance(value, list) or not value:
        said = "an empty list" if value == [] else kind_of(value)
        raise BadRecord(f"the column {column!r} is {said}; it must be a list of texts")
    for number, text in enumerate(value, start=1):
        if not isinstance(text, str):
            raise BadRecord(f"response {number} in {column!r} is {kind_of(text)}; it must be text")
    return tuple(value)


def _readable(value: Any) -> Any:
    """The same with a question mark in the place of each half of a surrogate pair, which no check lets through."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value
