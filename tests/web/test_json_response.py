"""JSON of any text, halves of surrogate pairs included."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.visitor import ACCOUNTS, Visitor, add_person

from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.records import NewItem, Submission
from posttrain.web.app import create_app
from posttrain.web.json_response import JSONResponse

HALF = "half \ud83d of a pair, \\ud800, \U0001f600"
TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from('\ud800\udfff\0\\"'), max_size=8)


@given(
    st.dictionaries(
        TEXTS, st.lists(TEXTS | st.none() | st.booleans() | st.integers(), max_size=3), max_size=3
    )
)
def test_what_is_read_is_what_was_said(content):
    # Two halves that meet are one character to every reader of JSON.
    joined = json.loads(json.dumps(content))
    assert json.loads(JSONResponse(content).body.decode()) == joined


def test_what_is_no_json_is_our_mistake():
    with pytest.raises(ValueError, match="JSON"):
        JSONResponse(float("nan"))


def test_notes_and_tags_with_half_a_pair_are_shown(store):
    add_items(store, [NewItem("q", f"prompt {HALF}", ("a", f"b {HALF}"))])
    ann = add_person(store, "ann")
    visitor = Visitor(create_app(store, access=ACCOUNTS))
    visitor.sign_in("ann")
    name = visitor.get("/api/next").json()["item"]["id"]
    said = Submission(
        "one", 1, ann, "ranking", (0, 1), ranks=(0, 1), note=HALF, tags=((HALF,), ()), seconds=1.0
    )
    submit(store, said, needs_lease=False)
    (past,) = visitor.get("/api/history").json()["judgements"]
    assert past["note"] == HALF
    shown = visitor.get(f"/api/items/{name}")
    assert shown.status_code == 200
    assert shown.json()["item"]["earlier"]["note"] == HALF
    assert [HALF] in shown.json()["item"]["earlier"]["tags"]
    assert visitor.get(f"/api/items/{name}/diff?a=0&b=1").status_code == 200
