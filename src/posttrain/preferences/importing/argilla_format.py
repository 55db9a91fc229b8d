"""Argilla's exports with a ranking question: records of version 1 and 2, nested or flat as in `datasets`.

    v1  {"fields": {"prompt": "...", "reply-1": "...", "reply-2": "..."}, "responses": [{"user_id": "...",
         "status": "submitted", "values": {"order": {"value": [{"value": "reply-2", "rank": 1}, ...]}}}]}
    v2  {"id": "...", "fields": {...}, "responses": {"order": [{"value": ["reply-2", "reply-1"], "user_id": "..."}]}}
    flat v1  {"prompt": "...", "reply-1": "...", "order": [{"user_id": "...", "value": {"rank": [1], "value": [...]},
              "status": "submitted"}], "external_id": "...", "metadata": "{...}"}
    flat v2  {"prompt": "...", "order.responses": [[...]], "order.responses.users": [...], ...}

Version 2 writes a ranking as names in their order, so ties are lost before we see them; version 1 keeps them. Answers
to other questions become the judgement's note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from posttrain.data.record_files import BadRecord, Record, kind_of
from posttrain.preferences.importing.fields import fields_of_values, prompt_field, response_fields
from posttrain.preferences.importing.imported import (
    ImportedJudgement,
    ImportedRecord,
    ReadingOptions,
    prompt_of,
    without_gaps,
)
from posttrain.preferences.store.judgement_checks import MAX_NOTE
from posttrain.preferences.store.records import NewItem

DRAFT: Final = "a response in Argilla that was not submitted"
PARTIAL: Final = "a ranking that leaves some responses out"
_META: Final = frozenset(("id", "external_id", "metadata", "status", "_server_id", "vectors", "score"))


@dataclass
class _Answers:
    """What one user answered: values by question."""

    status: str
    values: dict[str, Any] = field(default_factory=dict)


def is_argilla(record: Record) -> bool:
    """Whether a record looks like one of Argilla's."""
    if isinstance(record.get("fields"), dict) and "responses" in record:
        return True
    return any(name.endswith(".responses.users") for name in record) or any(
        isinstance(value, list)
        and value
        and isinstance(value[0], dict)
        and {"user_id", "value"} <= set(value[0])
        for value in record.values()
    )


def read_argilla_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord:
    """The item of a record and every user's ranking; BadRecord for a malformed one."""
    fields, by_user = _parts(record)
    rankings = {user: _ranking_in(answers.values) for user, answers in by_user.items()}
    values = list(dict.fromkeys(name for found in rankings.values() if found for name in found[1]))
    if values:
        chosen = fields_of_values(values, fields, options)
        field_of = dict(zip(values, chosen, strict=True))
        in_order = [name for name in fields if name in set(chosen)]
    else:
        field_of, in_order = {}, response_fields(fields, options)
    if options.response_fields is not None:
        in_order = response_fields(fields, options)
    in_order = [name for name in in_order if fields[name] is not None]
    for name in in_order:
        if not isinstance(fields[name], str):
            raise BadRecord(f"the field {name!r} is {kind_of(fields[name])}; a response must be text")
    asked = prompt_field(fields, options, in_order)
    external_id = record.get("external_id")
    item = NewItem(
        external_id=str(external_id) if external_id else record_id,
        prompt=prompt_of(fields[asked], asked),
        responses=tuple(fields[name] for name in in_order),
        columns=_columns(record, fields, {asked, *in_order}),
    )
    judgements, left_out = [], []
    for user, answers in by_user.items():
        judgement = _judgement(options.name_of(user), answers, rankings[user], field_of, in_order)
        if isinstance(judgement, str):
            left_out.append(judgement)
        else:
            judgements.append(judgement)
    return ImportedRecord(item, tuple(judgements), tuple(left_out))


def _judgement(
    annotator: str,
    answers: _Answers,
    ranking: tuple[str, dict[str, float]] | None,
    field_of: Mapping[str, str],
    in_order: list[str],
) -> ImportedJudgement | str:
    if answers.status == "discarded":
        return ImportedJudgement(annotator, kind="skip", note=_note(answers.values, None))
    if answers.status != "submitted":
        return DRAFT
    if ranking is None:
        return "a response in Argilla without a ranking"
    question, ranks = ranking
    of_field = {field_of[value]: rank for value, rank in ranks.items()}
    if any(name not in of_field for name in in_order):
        return PARTIAL
    return ImportedJudgement(
        annotator,
        ranks=without_gaps([of_field[name] for name in in_order]),
        note=_note(answers.values, question),
    )


def _parts(record: Record) -> tuple[dict[str, Any], dict[str, _Answers]]:
    """Fields, and answers by user, of any of the four shapes."""
    fields = record.get("fields")
    if fields is None:
        return _flat_parts(record)
    if not isinstance(fields, dict):
        raise BadRecord(f"'fields' is {kind_of(fields)}; it must be an object")
    responses = record.get("responses") or []
    by_user: dict[str, _Answers] = {}
    if isinstance(responses, dict):
        for question, given in responses.items():
            for number, answer in enumerate(_dicts(given, f"responses.{question}"), start=1):
                _answers_of(by_user, answer, number).values[question] = answer.get("value")
        return fields, by_user
    for number, response in enumerate(_dicts(responses, "responses"), start=1):
        values = response.get("values") or {}
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            values = {name: value for part in values for name, value in part.items()}
        if not isinstance(values, dict):
            raise BadRecord(f"the values of response {number} are {kind_of(values)}; they must be an object")
        answers = _answers_of(by_user, response, number)
        for question, value in values.items():
            answers.values[question] = value.get("value") if isinstance(value, dict) else value
    return fields, by_user


def _flat_parts(record: Record) -> tuple[dict[str, Any], dict[str, _Answers]]:
    fields: dict[str, Any] = {}
    by_user: dict[str, _Answers] = {}
    for name, value in record.items():
        if name.endswith(".responses"):
            question = name.removesuffix(".responses")
            users, statuses = record.get(f"{name}.users") or [], record.get(f"{name}.status") or []
            for number, answer in enumerate(_list(value, name)):
                of = {
                    "user_id": users[number] if number < len(users) else None,
                    "status": statuses[number] if number < len(statuses) else None,
                }
                _answers_of(by_user, of, number + 1).values[question] = answer
        elif isinstance(value, list) and value and isinstance(value[0], dict) and "user_id" in value[0]:
            for number, answer in enumerate(_dicts(value, name), start=1):
                _answers_of(by_user, answer, number).values[name] = answer.get("value")
        elif name not in _META and "suggestion" not in name and not name.endswith((".users", ".status")):
            is_conversation = isinstance(value, list) and all(isinstance(one, dict) for one in value)
            if value is None or isinstance(value, str) or is_conversation:
                fields[name] = value
    return fields, by_user


def _answers_of(by_user: dict[str, _Answers], response: Mapping[str, Any], number: int) -> _Answers:
    user = response.get("user_id")
    # Without a name, each response is somebody's own.
    name = str(user) if user is not None else ("" if number == 1 else f"user {number}")
    status = response.get("status") or "submitted"
    found = by_user.setdefault(name, _Answers(str(status)))
    return found


def _ranking_in(values: Mapping[str, Any]) -> tuple[str, dict[str, float]] | None:
    """The question whose answer is a ranking, and the rank of each name in it."""
    for question, value in values.items():
        ranks = _ranks_by_name(value)
        if ranks is not None:
            return question, ranks
    return None


def _ranks_by_name(value: Any) -> dict[str, float] | None:
    if isinstance(value, dict) and {"value", "rank"} <= set(
        value
    ):  # `datasets` turns lists of objects inside out
        names, ranks = value["value"], value["rank"]
        if not isinstance(names, list) or not isinstance(ranks, list) or len(names) != len(ranks):
            raise BadRecord("a ranking has as many names as ranks, and this one has not")
        value = [{"value": name, "rank": rank} for name, rank in zip(names, ranks, strict=True)]
    if not isinstance(value, list) or len(value) < 2:
        return None
    if all(isinstance(name, str) for name in value):
        if len(set(value)) < len(value):
            raise BadRecord(f"a ranking names {next(n for n in value if value.count(n) > 1)!r} twice")
        return {name: float(place) for place, name in enumerate(value)}
    if not all(isinstance(one, dict) and isinstance(one.get("value"), str) for one in value):
        return None
    if all("start" in one for one in value):
        return None  # spans, which have no ranks
    ranks_by_name: dict[str, float] = {}
    for place, one in enumerate(value):
        rank = one.get("rank", place if all("rank" not in other for other in value) else None)
        if rank is None:
            continue
        if isinstance(rank, bool) or not isinstance(rank, int | float):
            raise BadRecord(f"the rank of {one['value']!r} is {kind_of(rank)}; it must be a number")
        if one["value"] in ranks_by_name:
            raise BadRecord(f"a ranking names {one['value']!r} twice")
        ranks_by_name[one["value"]] = float(rank)
    return ranks_by_name or None


def _note(values: Mapping[str, Any], ranking: str | None) -> str:
    """What was answered to other questions, a line each."""
    said = [
        f"{question}: {value if isinstance(value, str) else json.dumps(value)}"
        for question, value in values.items()
        if question != ranking and value is not None
    ]
    return "\n".join(said)[:MAX_NOTE]


def _columns(record: Record, fields: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    metadata = record.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            metadata = {"metadata": metadata}
    rest = {name: value for name, value in fields.items() if name not in used and value is not None}
    return {**(metadata if isinstance(metadata, dict) else {}), **rest}


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRecord(f"{name!r} is {kind_of(value)}; it must be a list")
    return value


def _dicts(value: Any, name: str) -> list[dict[str, Any]]:
    found = _list(value, name)
    if not all(isinstance(one, dict) for one in found):
        raise BadRecord(f"{name!r} must be a list of objects")
    return found
