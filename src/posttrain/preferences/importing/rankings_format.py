"""Rankings as lines: our own export, with all that a judgement holds, and plain ones with `responses` and `ranks`.

    {"id": "q/1/anna", "item": "q/1", "prompt": "What is 3 + 4?", "responses": ["8", "7"], "kind": "ranking",
     "ranks": [1, 0], "annotator": "anna", "order_shown": [1, 0], "seconds": 12.5, "submission_id": "...",
     "earlier": [{"kind": "skip", ...}]}

`exporting.rankings_rows` says what each column is. Of plain rankings, lines with the same prompt and responses are
one item, whoever ranked it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast

from posttrain.data.finish_reasons import read_finish_reasons
from posttrain.data.record_files import BadRecord, Record, column_of, kind_of
from posttrain.preferences.importing.imported import (
    ImportedGuideline,
    ImportedJudgement,
    ImportedRecord,
    ReadingOptions,
    prompt_of,
    responses_of,
    without_gaps,
)
from posttrain.preferences.importing.samples_format import gold_ranks_of, models_of
from posttrain.preferences.store.judgement_checks import KINDS, MAX_NOTE, MAX_TAG, MAX_TAGS
from posttrain.preferences.store.records import JudgementKind, NewItem
from posttrain.types import Message

WEIGHTS_ARE_LOST: Final = "its weight or margin, which a store does not keep: use data.annotator_weights"


def read_ranking_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord:
    """The item of a rankings line and what its annotator said of it; BadRecord says what is wrong with it."""
    given = {name: value for name, value in record.items() if value is not None}
    responses = responses_of(column_of(given, "responses"), "responses")
    count = len(responses)
    annotator = options.name_of(given.get("annotator"))
    item = NewItem(
        external_id=_item_name(given, record_id),
        prompt=_prompt(given),
        responses=responses,
        finish_reasons=read_finish_reasons(given, count),
        models=models_of(given, count),
        columns=_object(given, "columns"),
        gold_ranks=gold_ranks_of(given, count),
        overlap=_whole(given, "overlap", least=1),
    )
    earlier = tuple(_judgement(content, annotator, count, ()) for content in _objects(given, "earlier"))
    has_weight = given.get("weight", 1.0) != 1.0 or given.get("margin", 0.0) != 0.0
    return ImportedRecord(
        item=item,
        judgements=(_judgement(given, annotator, count, earlier),),
        left_out=(WEIGHTS_ARE_LOST,) if has_weight else (),
        guidelines=tuple(map(_guideline, _objects(given, "guidelines"))),
    )


def _judgement(
    given: Mapping[str, Any],
    annotator: str,
    count: int,
    earlier: tuple[ImportedJudgement, ...],
) -> ImportedJudgement:
    given = {name: value for name, value in given.items() if value is not None}
    kind = given.get("kind", "ranking")
    if kind not in KINDS:
        raise BadRecord(f"there is no judgement of kind {kind!r}; there are {', '.join(KINDS)}")
    return ImportedJudgement(
        annotator=annotator,
        kind=cast(JudgementKind, kind),
        ranks=_ranks(given, count) if kind == "ranking" else None,
        unacceptable=_list(given, "unacceptable", count, _is_flag, "true or false"),
        grades=_list(given, "grades", count, _is_grade, "1 to 5 or null"),
        tags=tuple(map(tuple, _list(given, "tags", count, _is_tags, "lists of short texts"))),
        note=_note(given),
        is_flagged=_flag(given, "is_flagged"),
        order_shown=_order(given, count),
        guideline_version=_whole(given, "guideline_version", least=0),
        seconds=_number(given, "seconds") or 0.0,
        submitted_at=_number(given, "submitted_at"),
        submission_id=_submission_id(given),
        settles=_flag(given, "settles"),
        earlier=earlier,
    )


def _item_name(given: Record, record_id: str) -> str:
    name = given.get("item")
    if name is not None:
        if not isinstance(name, str) or not name:
            raise BadRecord(f"the column 'item' is {kind_of(name)}; it must be the name of an item")
        return name
    annotator = given.get("annotator")
    if annotator and record_id.endswith(f"/{annotator}"):
        return record_id.removesuffix(f"/{annotator}")
    if "id" in given:
        return record_id
    content = json.dumps([given.get("prompt"), given["responses"]], sort_keys=True)
    return f"{record_id.rpartition('/')[0]}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _prompt(given: Record) -> str | tuple[Message, ...]:
    prompt = prompt_of(column_of(given, "prompt"), "prompt")
    # Parquet holds one kind in a column: texts beside conversations were written as one user message.
    if given.get("prompt_is_text") and not isinstance(prompt, str) and len(prompt) == 1:
        return prompt[0]["content"]
    return prompt


def _ranks(given: Mapping[str, Any], count: int) -> tuple[int, ...]:
    ranks = given.get("ranks")
    if not isinstance(ranks, list):
        raise BadRecord(
            f"the column 'ranks' is {kind_of(ranks)}; it must be a list with a rank for each response"
        )
    if len(ranks) != count:
        raise BadRecord(f"{len(ranks)} ranks for {count} responses; give one rank for each")
    for number, rank in enumerate(ranks, start=1):
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 0:
            raise BadRecord(
                f"rank {number} is {rank!r}; ranks are whole numbers, 0 the best, equal for a tie"
            )
    return without_gaps(ranks)


def _order(given: Mapping[str, Any], count: int) -> tuple[int, ...]:
    order = given.get("order_shown")
    if not order:
        return ()
    if not isinstance(order, list) or not all(_is_whole(place) for place in order):
        raise BadRecord("the column 'order_shown' must be a list of the responses' numbers from 0")
    if sorted(order) != list(range(count)):
        raise BadRecord(
            f"the column 'order_shown' is {order}; it names each of {count} responses once, from 0"
        )
    return tuple(order)


def _list(given: Mapping[str, Any], column: str, count: int, fits: Any, what: str) -> tuple[Any, ...]:
    values = given.get(column)
    if not values:
        return ()
    if not isinstance(values, list) or not all(map(fits, values)):
        raise BadRecord(f"the column {column!r} must be a list of {what}, one for each response")
    if len(values) != count:
        raise BadRecord(f"{len(values)} entries in {column!r} for {count} responses; give one for each")
    return tuple(values)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_grade(value: Any) -> bool:
    return value is None or (_is_whole(value) and 1 <= value <= 5)


def _is_tags(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_TAGS
        and all(isinstance(tag, str) and 0 < len(tag) <= MAX_TAG for tag in value)
    )


def _note(given: Mapping[str, Any]) -> str:
    note = given.get("note", "")
    if not isinstance(note, str) or len(note) > MAX_NOTE:
        raise BadRecord(f"the column 'note' must be a text of at most {MAX_NOTE} characters")
    return note


def _flag(given: Mapping[str, Any], column: str) -> bool:
    value = given.get(column, False)
    if not isinstance(value, bool):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be true or false")
    return value


def _whole(given: Mapping[str, Any], column: str, *, least: int) -> int | None:
    value = given.get(column)
    if value is None:
        return None
    if not _is_whole(value) or value < least:
        raise BadRecord(f"the column {column!r} is {value!r}; it must be a whole number from {least} up")
    return int(value)


def _number(given: Mapping[str, Any], column: str) -> float | None:
    value = given.get(column)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise BadRecord(f"the column {column!r} is {value!r}; it must be a number of seconds, not negative")
    return float(value)


def _submission_id(given: Mapping[str, Any]) -> str:
    name = given.get("submission_id", "")
    if (
        not isinstance(name, str)
        or not name.isascii()
        or (name and not name.isprintable())
        or len(name) > 100
    ):
        raise BadRecord("the column 'submission_id' must be at most 100 printable ASCII characters")
    return name


def _object(given: Mapping[str, Any], column: str) -> dict[str, Any]:
    """A JSON object, or the text of one: Parquet has no place for objects of any shape."""
    value = _decoded(given.get(column, {}), column)
    if not isinstance(value, dict):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be an object")
    return value


def _objects(given: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    value = _decoded(given.get(column, []), column)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRecord(f"the column {column!r} must be a list of objects")
    return value


def _decoded(value: Any, column: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise BadRecord(f"the column {column!r} is a text that is no JSON") from None


def _guideline(content: Mapping[str, Any]) -> ImportedGuideline:
    version, text = content.get("version"), content.get("text")
    if not _is_whole(version) or not isinstance(text, str):
        raise BadRecord(
            "the column 'guidelines' must hold objects with a whole number 'version' and a 'text'"
        )
    assert isinstance(version, int)
    return ImportedGuideline(
        version, text, _number(content, "created_at") or 0.0, str(content.get("author", ""))
    )
