"""Label Studio's JSON export of a project with a Ranker or a Pairwise tag.

    {"id": 7, "data": {"prompt": "...", "items": [{"id": "a", "body": "..."}, {"id": "b", "body": "..."}]},
     "annotations": [{"completed_by": {"email": "anna@example.org"}, "was_cancelled": false, "lead_time": 12.5,
                      "created_at": "2024-03-09T22:16:08.728353Z",
                      "result": [{"type": "ranker", "value": {"ranker": {"rank": ["b", "a"]}}}]}]}
    {"id": 8, "data": {"prompt": "...", "answer1": "...", "answer2": "..."},
     "annotations": [{"completed_by": 3, "result": [{"type": "pairwise", "value": {"selected": "left"}}]}]}

A ranker without buckets is an order. With several buckets `buckets` says which is best; what lies in one bucket is
tied. A cancelled annotation is a skip. Texts that were entered become the judgement's note.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from posttrain.data.record_files import BadRecord, Record, column_of, kind_of
from posttrain.preferences.importing.fields import prompt_field, response_fields
from posttrain.preferences.importing.imported import (
    ImportedJudgement,
    ImportedRecord,
    ReadingOptions,
    prompt_of,
    without_gaps,
)
from posttrain.preferences.store.judgement_checks import MAX_NOTE
from posttrain.preferences.store.records import NewItem

NO_COMPARISON: Final = "an annotation in Label Studio without a comparison"
NOT_SORTED: Final = "an annotation in Label Studio that leaves some responses unsorted"
_TEXTS: Final = ("body", "text", "response", "html", "title")


def is_label_studio(record: Record) -> bool:
    """Whether a record looks like a task of Label Studio's JSON export."""
    return isinstance(record.get("data"), dict) and ("annotations" in record or "completions" in record)


def is_json_min(record: Record) -> bool:
    """Whether it looks like Label Studio's JSON-MIN, one line an annotation."""
    return {"annotator", "annotation_id", "lead_time"} <= set(record)


def read_label_studio_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord:
    """The item of a task and every annotation of it; BadRecord for a malformed one."""
    data = column_of(record, "data")
    if not isinstance(data, dict):
        raise BadRecord(f"'data' is {kind_of(data)}; it must be an object")
    items_column = _items_column(data, options)
    if items_column is not None:
        texts = _texts_of_items(data[items_column], items_column)
        used = {items_column}
    else:
        names = response_fields(data, options)
        texts = {name: data[name] for name in names}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise BadRecord(f"data.{name} is {kind_of(text)}; a response must be text")
        used = set(names)
    asked = prompt_field(data, options, used)
    item = NewItem(
        external_id=record_id,
        prompt=prompt_of(data[asked], f"data.{asked}"),
        responses=tuple(texts.values()),
        columns={name: value for name, value in data.items() if name not in {*used, asked}},
    )
    judgements: dict[str, ImportedJudgement] = {}
    left_out = []
    annotations = record.get("annotations", record.get("completions")) or []
    if not isinstance(annotations, list):
        raise BadRecord(f"'annotations' is {kind_of(annotations)}; it must be a list")
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise BadRecord(f"an annotation is {kind_of(annotation)}; it must be an object")
        judgement = _judgement(annotation, list(texts), options)
        if isinstance(judgement, str):
            left_out.append(judgement)
        else:  # somebody who annotated twice has corrected what they said
            judgements[judgement.annotator] = judgement
    return ImportedRecord(item, tuple(judgements.values()), tuple(left_out))


def _items_column(data: Mapping[str, Any], options: ReadingOptions) -> str | None:
    """The column that holds the ranked list; None where the responses have columns of their own."""
    lists = [
        name
        for name, value in data.items()
        if isinstance(value, list) and value and all(isinstance(one, dict) and "id" in one for one in value)
    ]
    named = options.response_fields
    if named is not None:
        return named[0] if len(named) == 1 and named[0] in lists else None
    if len(lists) > 1:
        raise BadRecord(
            f"several lists could be the responses ({', '.join(lists)}); name one in response_fields"
        )
    return lists[0] if lists else None


def _texts_of_items(items: list[dict[str, Any]], column: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, item in enumerate(items, start=1):
        name = next((key for key in _TEXTS if isinstance(item.get(key), str)), None)
        if name is None:
            raise BadRecord(f"entry {number} of data.{column} has no text; it needs a 'body'")
        if str(item["id"]) in texts:
            raise BadRecord(f"two entries of data.{column} have the id {item['id']!r}")
        texts[str(item["id"])] = item[name]
    return texts


def _judgement(
    annotation: Mapping[str, Any], responses: list[str], options: ReadingOptions
) -> ImportedJudgement | str:
    results = annotation.get("result") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise BadRecord("the 'result' of an annotation must be a list of objects")
    about: dict[str, Any] = {
        "annotator": options.name_of(_annotator(annotation.get("completed_by"))),
        "note": _note(results),
        "seconds": _seconds(annotation.get("lead_time")),
        "submitted_at": _instant(annotation.get("created_at")),
    }
    if annotation.get("was_cancelled"):
        return ImportedJudgement(kind="skip", **about)
    for result in results:
        value = result.get("value")
        if result.get("type") == "pairwise" and isinstance(value, dict):
            return _pairwise(value.get("selected"), responses, about)
        if result.get("type") == "ranker" and isinstance(value, dict):
            ranks = _ranker(value.get("ranker"), responses, options)
            return NOT_SORTED if ranks is None else ImportedJudgement(ranks=ranks, **about)
    return NO_COMPARISON


def _pairwise(selected: Any, responses: list[str], about: dict[str, Any]) -> ImportedJudgement | str:
    if len(responses) != 2:
        raise BadRecord(f"a pairwise result compares 2 responses, and the task has {len(responses)}")
    if selected not in ("left", "right"):
        raise BadRecord(f"a pairwise result selects {selected!r}; it must be 'left' or 'right'")
    return ImportedJudgement(ranks=(0, 1) if selected == "left" else (1, 0), **about)


def _ranker(value: Any, responses: list[str], options: ReadingOptions) -> tuple[int, ...] | None:
    """Ranks of the responses; None where some are in no bucket that has a place."""
    if isinstance(value, list):
        order: list[list[str]] = [[str(name)] for name in value]
    elif isinstance(value, dict) and all(isinstance(names, list) for names in value.values()):
        if options.buckets is not None:
            order = [[str(name) for name in value.get(bucket, [])] for bucket in options.buckets]
        elif len(value) == 1:
            order = [[str(name)] for name in next(iter(value.values()))]
        else:
            raise BadRecord(
                f"the responses are sorted into the buckets {', '.join(value)}; say which is best with buckets, "
                "best first ('_' is the list they came from)"
            )
    else:
        raise BadRecord(f"a ranker result is {kind_of(value)}; it must be a list of ids, or lists by bucket")
    place: dict[str, int] = {}
    for rank, names in enumerate(order):
        for name in names:
            if name not in responses:
                raise BadRecord(f"a ranker result names {name!r}, which is not among the responses")
            if place.setdefault(name, rank) != rank or names.count(name) > 1:
                raise BadRecord(f"a ranker result names {name!r} twice")
    if any(name not in place for name in responses):
        return None
    return without_gaps([place[name] for name in responses])


def _annotator(completed_by: Any) -> Any:
    if isinstance(completed_by, dict):
        return completed_by.get("email") or completed_by.get("username") or completed_by.get("id")
    return completed_by


def _note(results: list[dict[str, Any]]) -> str:
    texts = []
    for result in results:
        value = result.get("value")
        if result.get("type") == "textarea" and isinstance(value, dict):
            said = value.get("text")
            texts += [str(one) for one in said] if isinstance(said, list) else [str(said or "")]
    return "\n".join(texts)[:MAX_NOTE]


def _seconds(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value >= 0 else 0.0


def _instant(value: Any) -> float | None:
    """Seconds since 1970 of an ISO time, which is UTC where it does not say; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
