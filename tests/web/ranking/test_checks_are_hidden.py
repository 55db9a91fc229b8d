"""An annotator cannot tell which items have a known answer: every answer of the server is the same for both kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.web.visitor import ACCOUNTS, Visitor, add_person

from posttrain.preferences.store.items import add_items, iterate_items
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store.settings import change_queue_settings
from posttrain.web.app import create_app

NUM_ORDINARY, NUM_GOLD = 14, 6
TEXTS = (
    "first answer",
    "other answer",
    "third answer",
)  # of one length: cards differ in nothing but these words


@pytest.fixture
def annotator(store) -> Visitor:
    """Ordinary items first, those with a known answer last, as they are usually imported; all ask the same."""
    add_items(store, [NewItem(f"q/{n}", "Which?", TEXTS) for n in range(NUM_ORDINARY)])
    add_items(store, [NewItem(f"gold/{n}", "Which?", TEXTS, gold_ranks=(0, 1, 2)) for n in range(NUM_GOLD)])
    change_queue_settings(store, gold_every=3, overlap=2)
    add_person(store, "ann")
    visitor = Visitor(create_app(store, access=ACCOUNTS))
    visitor.sign_in("ann")
    return visitor


def public_ids(store, *, is_gold: bool) -> list[int]:
    return [item.public_id for item in iterate_items(store) if (item.gold_ranks is not None) == is_gold]


def without_texts(value: Any, public_id: int) -> Any:
    """The answer with the item's random number and the words of its cards taken out."""
    text = json.dumps(value, sort_keys=True).replace(str(public_id), "ITEM")
    for word in ("first", "other", "third"):
        text = text.replace(word, "WORD")
    return text


def play(visitor: Visitor, step: int, kind: str) -> tuple[int, list[str]] | None:
    """All that a person can ask about their next item, before and after judging it; None when nothing is left."""
    item = visitor.get("/api/next").json()["item"]
    if item is None:
        return None
    number, path = item["id"], f"/api/items/{item['id']}"
    body = {"kind": kind, "ranks": [0, 1, 1] if kind == "ranking" else None, "submission_id": f"{step}"}
    draft = {"content": {}, "revision": 7}
    answers = [
        visitor.get(path),
        visitor.post_json(f"{path}/lease", {}),
        visitor.post_json(f"{path}/draft", draft),
        visitor.post_json(f"{path}/draft", {**draft, "revision": 6}),
        visitor.get(f"{path}/raw?card=1"),
        visitor.post_json(f"{path}/judgement", {**body, "grades": [9, 9, 9]}),
        visitor.post_json(f"{path}/judgement", {**body, "replaces": 10**6}),
        visitor.post_json(f"{path}/judgement", body),
        visitor.post_json(f"{path}/judgement", body),
        visitor.post_json(f"{path}/judgement", {**body, "submission_id": f"{step} again"}),
        visitor.post_json(f"{path}/draft", draft),
        visitor.post_json(f"{path}/lease", {}),
        visitor.get(path),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 200, 200, 409, 200, 422, 409, 200, 200, 409, 409, 409, 200]
    newest = visitor.get("/api/history").json()["judgements"][0]
    said = [item, *(answer.json() for answer in answers), newest]
    for one in [*said, *(one.get(name) for one in said for name in ("item", "earlier", "current"))]:
        if not one:
            continue
        for name, value in (("number", step), ("judgement_id", step)):  # both count this person's own steps
            if name in one:
                assert one.pop(name) == value
        if isinstance(one.get("earlier"), dict):
            assert one["earlier"].pop("judgement_id") == step
    return number, [without_texts(one, number) for one in said]


@pytest.mark.parametrize("kind", ["ranking", "cannot_rank", "skip"])
def test_a_person_who_reads_every_answer_cannot_tell_checks_from_other_items(annotator, store, kind) -> None:
    gold = set(public_ids(store, is_gold=True))
    first = annotator.get("/api/progress").json()
    assert first["num_open"] == first["num_items"] == NUM_ORDINARY + NUM_GOLD
    seen: dict[bool, list[list[str]]] = {True: [], False: []}
    for step in range(1, NUM_ORDINARY + NUM_GOLD + 1):
        played = play(annotator, step, kind)
        if played is None:
            break
        number, said = played
        seen[number in gold].append(said)
        progress = annotator.get("/api/progress").json()
        assert progress == {
            "num_judged": 0 if kind == "skip" else step,
            "num_skipped": step if kind == "skip" else 0,
            "num_items": first["num_items"],
            "num_open": first["num_open"] - step,
        }
    assert len(seen[True]) >= 4
    assert len(seen[False]) == NUM_ORDINARY
    for said in seen[True] + seen[False]:
        assert said == seen[False][0]


def test_numbers_of_items_are_random_and_javascript_can_hold_them(store, annotator) -> None:
    gold, ordinary = public_ids(store, is_gold=True), public_ids(store, is_gold=False)
    everyone = ordinary + gold
    assert len(set(everyone)) == len(everyone)
    assert all(0 < number < 2**53 for number in everyone)
    assert max(everyone) > 2**45, "small numbers would be counted, not drawn"
    assert everyone != sorted(everyone)


def test_the_number_that_a_person_sees_counts_their_own_items_and_stays(annotator, clock) -> None:
    first = annotator.get("/api/next").json()["item"]
    second = annotator.get(f"/api/next?besides={first['id']}").json()["item"]
    assert (first["number"], second["number"]) == (1, 2)
    body = {"submission_id": "second first", "kind": "skip"}
    assert annotator.post_json(f"/api/items/{second['id']}/judgement", body).status_code == 200
    clock.now += 10_000  # the lease of the first has run out, and nobody took it
    assert annotator.get("/api/next").json()["item"]["number"] == 1
    third = annotator.get(f"/api/next?besides={first['id']}").json()["item"]
    assert third["number"] == 3
    change = {"submission_id": "change", "kind": "skip", "note": "x", "replaces": 1}
    assert annotator.post_json(f"/api/items/{second['id']}/judgement", change).status_code == 200
    assert annotator.get(f"/api/items/{second['id']}").json()["item"]["number"] == 2
    assert [one["number"] for one in annotator.get("/api/history").json()["judgements"]] == [2]
