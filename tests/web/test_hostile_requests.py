"""Requests that no page of ours sends: every route answers them with a refusal, none with an error of ours."""

from __future__ import annotations

import json
import re

import pytest
from tests.web.visitor import ACCOUNTS, LOCAL, Visitor, add_person

from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.records import NewItem
from posttrain.web.app import create_app
from posttrain.web.csrf import SAFE_METHODS

HUGE = 10**30
STRANGE_VALUES = [
    None,
    True,
    -1,
    0,
    HUGE,
    1.5,
    "",
    "x",
    "\ud800",
    "\x00",
    [],
    [HUGE],
    [None],
    {},
    {"a": [[]]},
    "²",
    "9" * 30,
]
STRANGE_WORDS = [
    "",
    "-1",
    "0",
    "²",
    "٣",
    "9" * 30,
    "1e9",
    "x" * 3000,
    "\x00",
    "é",
    "%",
    "1,2,,x",
    "<b>",
    "../../x",
    "None",
]
FIELDS = [
    "ranks", "kind", "revision", "content", "submission_id", "besides", "seconds", "note", "tags", "grades",
    "unacceptable", "replaces", "is_flagged", "guideline_version", "cannot_rank",
]  # fmt: skip
PARAMETERS = ["besides", "before", "a", "b", "card", "message", "item", "action", "next", "token", "settled"]
FORM_FIELDS = [
    "name",
    "role",
    "password",
    "again",
    "next",
    "submission_id",
    "rank_0",
    "kind",
    "replaces",
    "note",
]


@pytest.fixture
def admin(store):
    add_items(store, [NewItem(f"item {n}", "Which?", ("this", "that")) for n in range(3)])
    visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    assert visitor.get("/api/next").json()["item"]["number"] == 1
    return visitor


def paths(app, methods, *, number=None):
    """Each route that takes one of the methods, with the number (that of the first item) in the place of parameters."""
    public = number or str(get_item(app.state.store, 1).public_id)
    return sorted(
        {
            re.sub(r"\{[^}]*\}", number or "1", route.path.replace("{public_id:int}", public))
            for route in app.routes
            if set(route.methods) & set(methods)
        }
    )


def refuses(answer) -> bool:
    return answer.status_code < 500


@pytest.mark.slow
def test_queries(admin):
    for path in paths(admin.client.app, {"GET"}):
        for name in PARAMETERS:
            for word in STRANGE_WORDS[1:8]:
                answer = admin.client.get(path, params={name: word})
                assert refuses(answer), (path, name, word)


@pytest.mark.parametrize("number", ["0", "999", "9" * 18, "9" * 19, "9" * 40])
def test_numbers_of_items(admin, number):
    for path in paths(admin.client.app, {"GET"}, number=number):
        assert refuses(admin.client.get(path)), path
    for path in paths(admin.client.app, {"POST"}, number=number):
        if path.startswith("/api/"):
            assert refuses(admin.post_json(path, {"revision": 1, "content": {}})), path


@pytest.mark.slow
def test_bodies_of_scripts(admin):
    routes = [path for path in paths(admin.client.app, {"POST"}) if path.startswith("/api/")]
    assert len(routes) >= 3
    sound = {
        "submission_id": "00000000-0000-0000-0000-000000000000",
        "kind": "skip",
        "revision": 1,
        "content": {},
    }
    headers = {"X-CSRF-Token": admin.csrf_token, "Content-Type": "application/json"}
    for path in routes:
        for field in FIELDS:
            for value in STRANGE_VALUES:
                content = json.dumps({**sound, field: value})
                assert refuses(admin.client.post(path, content=content, headers=headers)), (
                    path,
                    field,
                    value,
                )


@pytest.mark.slow
def test_forms(admin):
    routes = [path for path in paths(admin.client.app, {"POST"}) if not path.startswith("/api/")]
    for path in set(routes) - {"/logout", "/login"}:
        for field in FORM_FIELDS:
            for word in STRANGE_WORDS:
                sound = {
                    "submission_id": "00000000-0000-0000-0000-000000000000",
                    "rank_0": "1",
                    "rank_1": "2",
                }
                assert refuses(admin.post_form(path, **{**sound, field: word})), (path, field, word)


def test_sign_in_forms(store, monkeypatch):
    monkeypatch.setattr("posttrain.preferences.store.sign_in.MAX_FAILURES_OF_ADDRESS", 1000)
    app = create_app(store, access=ACCOUNTS)
    for field in ("name", "password", "next"):
        for word in STRANGE_WORDS:
            assert Visitor(app).sign_in(
                **{"name": "x", "password": "y", **{field.replace("next", "target"): word}}
            ).status_code in (403, 429)


def test_what_one_annotator_was_given_another_cannot_read_or_judge(store):
    add_items(store, [NewItem(f"item {n}", f"Which {n}?", ("this", "that")) for n in range(3)])
    for name in ("ann", "bob"):
        add_person(store, name)
    app = create_app(store, access=ACCOUNTS)
    ann, bob = Visitor(app), Visitor(app, address="192.0.2.8")
    ann.sign_in("ann")
    bob.sign_in("bob")
    anns, bobs = (visitor.get("/api/next").json()["item"]["id"] for visitor in (ann, bob))
    assert anns != bobs
    for path in (f"/api/items/{anns}", f"/api/items/{anns}/diff?a=0&b=1", f"/api/items/{anns}/raw?card=0"):
        assert ann.get(path).status_code == 200
        assert bob.get(path).status_code == 403
        assert "Which" not in bob.get(path).text
    judgement = {"submission_id": "00000000-0000-0000-0000-000000000001", "kind": "skip"}
    for path, body in (
        (f"/api/items/{anns}/draft", {"revision": 5, "content": {"note": "bob's"}}),
        (f"/api/items/{anns}/judgement", judgement),
        (f"/api/items/{anns}/lease", {}),
    ):
        assert bob.post_json(path, body).status_code in (403, 409)
    assert bob.get("/api/history").json()["judgements"] == []
    assert ann.get(f"/api/items/{anns}").json()["item"]["draft"] is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"])
def test_other_methods_change_nothing(admin, method):
    assert method not in SAFE_METHODS or method in ("HEAD", "OPTIONS")
    for path in paths(admin.client.app, {"GET", "POST"}):
        if path != "/logout":
            assert refuses(admin.client.request(method, path)), path
    assert admin.get("/annotators").status_code == 200
