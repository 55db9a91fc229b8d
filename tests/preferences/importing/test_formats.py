"""Each format's reader on records as its tool writes them, and on records that are broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posttrain.data.record_files import BadRecord
from posttrain.preferences.importing.formats import READERS, format_of
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut, ReadingOptions

OPTIONS = ReadingOptions(annotator="somebody")
FIELDS = {"prompt": "3 + 4?", "reply-1": "7", "reply-2": "8", "reply-3": "9"}
ORDER = [{"value": "reply-2", "rank": 1}, {"value": "reply-1", "rank": 2}, {"value": "reply-3", "rank": 2}]


def read(record: dict[str, Any], **options: Any) -> ImportedRecord:
    found = READERS[format_of(record)](record, "r/1", ReadingOptions(**{"annotator": "somebody", **options}))
    assert isinstance(found, ImportedRecord), found
    return found


def said(record: dict[str, Any], **options: Any) -> list[tuple[str, str, tuple[int, ...] | None]]:
    return [(own.annotator, own.kind, own.ranks) for own in read(record, **options).judgements]


def argilla_v1(*responses: dict[str, Any]) -> dict[str, Any]:
    return {"fields": FIELDS, "metadata": {"source": "x"}, "responses": list(responses), "external_id": "e/1"}


def response(user: str, status: str = "submitted", **values: Any) -> dict[str, Any]:
    return {"user_id": user, "status": status, "values": {name: {"value": v} for name, v in values.items()}}


def test_argilla_1_keeps_ties_skips_and_what_else_was_said():
    record = argilla_v1(
        response("u1", order=ORDER, why="clear"),
        response("u2", status="discarded"),
        response("u3", status="draft", order=ORDER),
        response("u4", order=ORDER[:2]),
    )
    assert format_of(record) == "argilla"
    found = read(record, annotator_names={"u1": "anna"})
    assert found.item.external_id == "e/1"
    assert found.item.prompt == "3 + 4?"
    assert found.item.responses == ("7", "8", "9")
    assert found.item.columns == {"source": "x"}
    assert [(j.annotator, j.kind, j.ranks) for j in found.judgements] == [
        ("anna", "ranking", (1, 0, 1)),
        ("u2", "skip", None),
    ]
    assert found.judgements[0].note == "why: clear"
    assert len(found.left_out) == 2


def test_argilla_2_writes_names_in_their_order():
    record = {
        "id": "abc",
        "fields": FIELDS,
        "metadata": {},
        "suggestions": {"order": {"value": ["reply-1", "reply-2", "reply-3"], "score": None, "agent": None}},
        "responses": {"order": [{"value": ["reply-3", "reply-1", "reply-2"], "user_id": "u1"}]},
        "vectors": {},
        "_server_id": "1",
    }
    assert said(record) == [("u1", "ranking", (1, 2, 0))]


def test_argilla_2_with_ranks_as_its_server_has_them():
    record = {
        "fields": FIELDS,
        "responses": {"order": [{"value": ORDER, "user_id": "u1", "status": "submitted"}]},
    }
    assert said(record) == [("u1", "ranking", (1, 0, 1))]


def test_both_flat_forms_of_argilla():
    flat_1 = {
        **FIELDS,
        "order": [{"user_id": "u1", "value": {"rank": [1, 2, 2], "value": ["reply-2", "reply-1", "reply-3"]}, "status": "submitted"}],
        "order-suggestion": {"rank": [1, 2, 3], "value": ["reply-1", "reply-2", "reply-3"]},
        "external_id": "e/1",
        "metadata": json.dumps({"source": "x"}),
    }  # fmt: skip
    assert said(flat_1) == [("u1", "ranking", (1, 0, 1))]
    assert read(flat_1).item.columns == {"source": "x"}
    flat_2 = {
        "id": "abc", "status": "completed", "_server_id": "1", **FIELDS,
        "order.responses": [["reply-3", "reply-1", "reply-2"], ["reply-1", "reply-2", "reply-3"]],
        "order.responses.users": ["u1", "u2"], "order.responses.status": ["submitted", "draft"],
        "order.suggestion": None,
    }  # fmt: skip
    assert said(flat_2) == [("u1", "ranking", (1, 2, 0))]


def test_fields_of_argilla_that_are_called_otherwise():
    record = {
        "fields": {"chat": [{"role": "user", "content": "hi"}], "a_text": "x", "b_text": "y"},
        "responses": {"order": [{"value": ["second", "first"], "user_id": "u1"}]},
    }
    with pytest.raises(BadRecord, match="response_fields"):
        read(record)
    found = read(record, response_fields=("a_text", "b_text"))
    assert found.item.prompt == ({"role": "user", "content": "hi"},)
    # The names of the ranking, in their order, stand for the fields in theirs: first -> a_text, second -> b_text.
    assert found.judgements[0].ranks == (1, 0)


def label_studio(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    items = [{"id": "a", "title": "A", "body": "7"}, {"id": "b", "title": "B", "body": "8"}]
    return {"id": 7, "data": data or {"prompt": "3 + 4?", "items": items}, "annotations": list(annotations), "predictions": []}  # fmt: skip


def ranker(value: Any, **more: Any) -> dict[str, Any]:
    result = {"from_name": "rank", "to_name": "items", "type": "ranker", "value": {"ranker": value}}
    return {"id": 1, "completed_by": 3, "result": [result], "was_cancelled": False, **more}


def pairwise(selected: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": {"id": 3, "email": "anna@example.org"}, "result": [{"type": "pairwise", "value": {"selected": selected}}]}  # fmt: skip


def test_label_studio_orders_lists_and_buckets():
    record = label_studio(ranker(["b", "a"]), ranker({"rank": ["a", "b"]}, completed_by=4), ranker(None, completed_by=5, was_cancelled=True))  # fmt: skip
    assert format_of(record) == "label_studio"
    assert said(record, annotator_names={"3": "anna"}) == [
        ("anna", "ranking", (1, 0)),
        ("4", "ranking", (0, 1)),
        ("5", "skip", None),
    ]
    assert read(record).item.responses == ("7", "8")
    in_buckets = label_studio(ranker({"_": [], "good": ["b"], "bad": ["a"]}))
    with pytest.raises(BadRecord, match="say which is best with buckets"):
        read(in_buckets)
    assert said(in_buckets, buckets=("good", "bad")) == [("3", "ranking", (1, 0))]
    assert said(label_studio(ranker({"_": ["a"], "good": ["b"]})), buckets=("good",)) == []


def test_label_studio_pairs_times_and_notes():
    annotation = {**pairwise("right"), "lead_time": 12.5, "created_at": "2024-03-09T22:16:08.500Z"}
    annotation["result"].append({"type": "textarea", "value": {"text": ["clearer", "shorter"]}})
    record = label_studio(annotation, prompt="3 + 4?", answer1="7", answer2="8")
    (judgement,) = read(record).judgements
    assert judgement.annotator == "anna@example.org"
    assert judgement.ranks == (1, 0)
    assert judgement.seconds == 12.5
    assert judgement.submitted_at == 1710022568.5
    assert judgement.note == "clearer\nshorter"


def test_pairs_of_trl_and_hh_rlhf_and_soft_ties():
    assert said({"prompt": "q", "chosen": "a", "rejected": "b"}) == [("somebody", "ranking", (0, 1))]
    assert said({"prompt": "q", "chosen": "a", "rejected": "b", "chosen_probability": 0.5}) == [
        ("somebody", "ranking", (0, 0))
    ]
    hh = {"chosen": "\n\nHuman: q?\n\nAssistant: a", "rejected": "\n\nHuman: q?\n\nAssistant: b"}
    assert read(hh).item.prompt == ({"role": "user", "content": "q?"},)
    assert read(hh).item.responses == ("a", "b")
    early = {"chosen": "\n\nHuman: q?\n\nAssistant: a", "rejected": "\n\nHuman: p?\n\nAssistant: b"}
    assert isinstance(READERS["pairs"](early, "r/1", OPTIONS), LeftOut)


def test_ultrafeedback_ranks_by_its_scores():
    completions = [
        {"model": "m1", "response": "7", "overall_score": 6.5},
        {"model": "m2", "response": "8", "overall_score": "2"},
        {"model": "m3", "response": "9", "overall_score": 6.5},
    ]
    record = {
        "source": "x",
        "instruction": "3 + 4?",
        "models": ["m1", "m2", "m3"],
        "completions": completions,
    }
    assert said(record, annotator="gpt-4") == [("gpt-4", "ranking", (0, 1, 0))]
    assert read(record).item.models == ("m1", "m2", "m3")
    del completions[0]["overall_score"]
    assert read(record).judgements == ()
    assert read(record).left_out


def test_lines_of_two_people_about_one_thing_are_one_item():
    rows = [
        {"prompt": "q", "responses": ["a", "b"], "ranks": [0, 1], "annotator": name}
        for name in ("anna", "bo")
    ]
    names = {READERS["rankings"](row, f"f/{n}", OPTIONS).item.external_id for n, row in enumerate(rows)}  # type: ignore[union-attr]
    assert len(names) == 1
    named = {**rows[0], "id": "q/1/anna"}
    assert READERS["rankings"](named, "q/1/anna", OPTIONS).item.external_id == "q/1"  # type: ignore[union-attr]


SAMPLE: dict[str, Any] = {"prompt": "q", "responses": ["a", "b"]}
RANKING: dict[str, Any] = {**SAMPLE, "ranks": [0, 1]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "x"}, "no known format"),
        ({"annotator": 1, "annotation_id": 2, "lead_time": 3.0, "prompt": "q"}, "JSON-MIN"),
        ({**SAMPLE, "responses": "a"}, "must be a list of texts"),
        ({**SAMPLE, "responses": ["a", 1]}, "response 2"),
        ({**SAMPLE, "prompt": ""}, "is empty"),
        ({**SAMPLE, "prompt": [{"role": "usr", "content": "q"}]}, "did you mean 'user'"),
        ({**SAMPLE, "models": ["m"]}, "1 models for 2 responses"),
        ({**SAMPLE, "gold_ranks": [0, 2]}, "without gaps"),
        ({**SAMPLE, "overlap": 0}, "overlap is 0"),
        ({**SAMPLE, "finish_reasons": ["eos"]}, "1 finish_reasons"),
        ({**RANKING, "ranks": [0]}, "1 ranks for 2 responses"),
        ({**RANKING, "ranks": [0, -1]}, "rank 2 is -1"),
        ({**RANKING, "ranks": [True, 0]}, "rank 1 is True"),
        ({**RANKING, "kind": "rankin"}, "no judgement of kind 'rankin'"),
        ({**RANKING, "grades": [6, None]}, "1 to 5"),
        ({**RANKING, "unacceptable": [True]}, "1 entries in 'unacceptable'"),
        ({**RANKING, "tags": [[""], []]}, "'tags'"),
        ({**RANKING, "order_shown": [0, 0]}, "names each of 2 responses once"),
        ({**RANKING, "seconds": -1}, "'seconds'"),
        ({**RANKING, "submission_id": "é"}, "'submission_id'"),
        ({**RANKING, "earlier": "nonsense"}, "no JSON"),
        ({**RANKING, "earlier": [{"kind": "ranking"}]}, "'ranks' is null"),
        ({**RANKING, "note": 5}, "'note'"),
        ({**RANKING, "item": 5}, "'item'"),
        ({**RANKING, "guidelines": [{"version": "1"}]}, "'guidelines'"),
        ({"prompt": "q", "chosen": "a"}, "no column 'rejected'"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "chosen_probability": 2}, "between 0 and 1"),
        (argilla_v1(response("u", order=[ORDER[0], ORDER[0]])), "names 'reply-2' twice"),
        (argilla_v1(response("u", order=[{"value": "reply-9", "rank": 1}, {"value": "nothing", "rank": 2}, *ORDER])), "response_fields"),
        (argilla_v1(response("u", order=[{"value": "reply-1", "rank": "1"}, ORDER[0]])), "must be a number"),
        ({"fields": FIELDS, "responses": ["x"]}, "list of objects"),
        ({"fields": {"prompt": "q", "only": "x"}, "responses": []}, "not clear which fields are the responses"),
        (label_studio(ranker(["b", "c"])), "names 'c'"),
        (label_studio(ranker(["b", "b", "a"])), "names 'b' twice"),
        (label_studio(ranker("b")), "a list of ids"),
        (label_studio(pairwise("middle")), "'left' or 'right'"),
        (label_studio(prompt="q", one="a", two="b"), "not clear which fields"),
        (label_studio(prompt="q", items=[{"id": "a"}]), "needs a 'body'"),
        ({"instruction": "q", "completions": [{"response": 5}]}, "must be text"),
        ({"instruction": "q", "completions": [{"response": "a", "overall_score": "good"}]}, "must be a number"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said(record, reason):
    with pytest.raises(BadRecord, match=reason):
        READERS[format_of(record)](record, "r/1", OPTIONS)
