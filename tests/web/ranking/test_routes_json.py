"""What the page's scripts are told and what they may send, without a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.web.ranking.example_items import EXAMPLES, SKY
from tests.web.ranking.test_rendering import HOSTILE
from tests.web.visitor import ACCOUNTS, LOCAL, Visitor, add_person

from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.guidelines import publish_guidelines
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import all_judgements, current_judgements
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store.settings import change_queue_settings
from posttrain.preferences.store.store_mark import store_mark
from posttrain.web.app import create_app


@pytest.fixture
def annotator(store) -> Visitor:
    add_items(store, EXAMPLES)
    add_person(store, "ann")
    visitor = Visitor(create_app(store, access=ACCOUNTS))
    assert visitor.sign_in("ann").status_code == 303
    return visitor


def judgement(**changes: Any) -> dict[str, Any]:
    body = {
        "submission_id": "one",
        "kind": "ranking",
        "ranks": [0, 1, 1, 2],
        "unacceptable": [False, False, False, True],
        "grades": [5, None, None, 1],
        "tags": [["good"], [], [], ["wrong", "wrong"]],
        "note": "a note",
        "is_flagged": True,
        "seconds": 12.5,
        "guideline_version": None,
        "replaces": None,
    }
    return {**body, **changes}


def test_an_item_comes_card_by_card_in_this_persons_order(annotator, store) -> None:
    item = annotator.get("/api/next").json()["item"]
    (assigned,) = [one for one in (item,) if one["number"] == 1]
    assert [message["role"] for message in assigned["prompt"]] == ["user"]
    assert len(assigned["cards"]) == 4
    words = sorted(card["num_words"] for card in assigned["cards"])
    assert words == sorted(len(text.split()) for text in SKY.responses)
    assert [card["is_cut_off"] for card in assigned["cards"]].count(True) == 1
    cut = next(card for card in assigned["cards"] if card["is_cut_off"])
    assert "only the red ones" in cut["raw_html"]
    assert assigned["lease_seconds_left"] == 1800
    assert assigned["draft"] is None
    assert assigned["earlier"] is None


def test_nothing_tells_models_or_known_answers(store) -> None:
    add_items(
        store,
        [
            NewItem(
                "gold",
                "Q",
                ("a", "b"),
                models=("secret-a", "secret-b"),
                gold_ranks=(0, 1),
                columns={"hint": "secret-c"},
            )
        ],
    )
    change_queue_settings(store, gold_every=1)
    add_person(store, "ann")
    visitor = Visitor(create_app(store, access=ACCOUNTS))
    visitor.sign_in("ann")
    for path in (
        "/api/next",
        visitor.path_of(1),
        "/api/history",
        visitor.path_of(1, "/diff?a=0&b=1"),
        visitor.path_of(1, "/raw?card=0"),
    ):
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert "secret" not in answer.text
        assert "gold" not in answer.text


def test_besides_gives_the_item_after(annotator) -> None:
    first = annotator.get("/api/next").json()["item"]["id"]
    second = annotator.get(f"/api/next?besides={first}").json()["item"]["id"]
    third = annotator.get(f"/api/next?besides={first},{second}").json()["item"]["id"]
    assert len({first, second, third}) == 3
    assert annotator.get("/api/next").json()["item"]["id"] == first
    fourth = annotator.get(f"/api/next?besides={first},{second},{third}").json()["item"]["id"]
    besides = f"{first},{second},{third},{fourth}"
    assert annotator.get(f"/api/next?besides={besides}").json()["item"] is None
    assert annotator.get(f"/api/next?besides=1,2,{2**53},{10**17}").json()["item"]["id"] == first
    assert annotator.get("/api/next?besides=x").status_code == 400


def test_a_judgement_goes_from_places_to_responses_and_back(annotator, store) -> None:
    annotator.get("/api/next")
    answer = annotator.post_json(annotator.path_of(1, "/judgement"), judgement(besides=[]))
    assert answer.status_code == 200
    assert answer.json()["is_new"]
    assert answer.json()["next"]["number"] == 2
    (stored,) = current_judgements(store)
    at = stored.order_shown
    assert sorted(at) == [0, 1, 2, 3]
    assert [stored.ranks[response] for response in at] == [0, 1, 1, 2]
    assert [stored.grades[response] for response in at] == [5, None, None, 1]
    assert [stored.tags[response] for response in at] == [("good",), (), (), ("wrong",)]
    assert (stored.note, stored.is_flagged, stored.seconds) == ("a note", True, 12.5)
    earlier = annotator.get(annotator.path_of(1)).json()["item"]["earlier"]
    assert earlier["ranks"] == [0, 1, 1, 2]
    assert earlier["unacceptable"] == [False, False, False, True]
    shown = annotator.get("/api/history").json()
    assert shown["judgements"][0]["ranks"] == [0, 1, 1, 2]
    assert "sky blue" in shown["judgements"][0]["prompt_html"]
    assert shown["next_before"] is None


def test_the_same_submission_counts_once_and_a_stale_one_is_409_with_the_current(annotator, store) -> None:
    annotator.get("/api/next")
    first = annotator.post_json(annotator.path_of(1, "/judgement"), judgement()).json()
    again = annotator.post_json(annotator.path_of(1, "/judgement"), judgement())
    assert again.status_code == 200
    assert again.json() == {"judgement_id": first["judgement_id"], "is_new": False}
    stale = annotator.post_json(
        annotator.path_of(1, "/judgement"), judgement(submission_id="two", ranks=[2, 1, 1, 0])
    )
    assert stale.status_code == 409
    assert stale.json()["code"] == "stale_judgement"
    assert stale.json()["current"]["ranks"] == [0, 1, 1, 2]
    replacing = judgement(
        submission_id="three", ranks=[2, 1, 1, 0], replaces=stale.json()["current"]["judgement_id"]
    )
    assert annotator.post_json(annotator.path_of(1, "/judgement"), replacing).status_code == 200
    assert len(list(all_judgements(store))) == 2


MISFITS: list[dict[str, Any]] = [
    {"ranks": [0, 1, 2]},
    {"ranks": [0, 1, 1, 3]},
    {"ranks": [0, 1, 1, "2"]},
    {"ranks": [0, True, 1, 2]},
    {"ranks": None},
    {"kind": "best"},
    {"grades": [6, None, None, None]},
    {"grades": [1]},
    {"tags": [["a"], [], [], [3]]},
    {"unacceptable": [0, 0, 0, 0]},
    {"note": 3},
    {"note": "x" * 30_000},
    {"is_flagged": "yes"},
    {"seconds": -1},
    {"seconds": "long"},
    {"replaces": "1"},
    {"guideline_version": 7},
    {"submission_id": None},
    {"submission_id": ""},
]


def test_what_does_not_fit_is_422_with_a_sentence_and_stores_nothing(annotator, store) -> None:
    annotator.get("/api/next")
    for changes in MISFITS:
        answer = annotator.post_json(annotator.path_of(1, "/judgement"), judgement(**changes))
        assert answer.status_code == 422, changes
        assert "not stored" in answer.json()["error"] or "no version 7" in answer.json()["error"]
    assert list(all_judgements(store)) == []


def test_drafts_are_kept_and_older_ones_refused(annotator) -> None:
    annotator.get("/api/next")
    assert (
        annotator.post_json(
            annotator.path_of(1, "/draft"), {"content": {"ranks": [1]}, "revision": 5}
        ).status_code
        == 200
    )
    item = annotator.get(annotator.path_of(1)).json()["item"]
    assert item["draft"]["content"] == {"ranks": [1]}
    stale = annotator.post_json(annotator.path_of(1, "/draft"), {"content": {}, "revision": 4})
    assert stale.status_code == 409
    assert stale.json()["draft"]["revision"] == 5
    for body in ({"content": 1, "revision": 6}, {"content": {}, "revision": "6"}, {"content": {}}):
        assert annotator.post_json(annotator.path_of(1, "/draft"), body).status_code == 422


def test_a_draft_after_its_judgement_is_409_with_the_current(annotator) -> None:
    annotator.get("/api/next")
    done = annotator.post_json(annotator.path_of(1, "/judgement"), judgement()).json()
    late = annotator.post_json(annotator.path_of(1, "/draft"), {"content": {}, "revision": 1})
    assert (late.status_code, late.json()["code"]) == (409, "stale_judgement")
    assert late.json()["current"]["judgement_id"] == done["judgement_id"]
    assert annotator.get(annotator.path_of(1)).json()["item"]["draft"] is None
    change = {"content": {"note": "why"}, "revision": 2, "replaces": done["judgement_id"]}
    assert annotator.post_json(annotator.path_of(1, "/draft"), change).status_code == 200
    assert annotator.get(annotator.path_of(1)).json()["item"]["draft"]["content"] == {"note": "why"}
    for replaces in (True, "1", 1.5):
        answer = annotator.post_json(annotator.path_of(1, "/draft"), {**change, "replaces": replaces})
        assert answer.status_code == 422
        assert "draft" in answer.json()["error"]


def test_leases_are_renewed_while_held(annotator, clock) -> None:
    annotator.get("/api/next")
    clock.now += 1000
    assert annotator.post_json(annotator.path_of(1, "/lease"), {}).json() == {"lease_seconds_left": 1800}
    assert annotator.post_json(annotator.path_of(3, "/lease"), {}).json()["code"] == "lease_gone"


def test_items_of_others_are_not_shown_or_judged(annotator, store) -> None:
    assert annotator.get(annotator.path_of(2)).json()["code"] == "not_yours"
    for path in (annotator.path_of(2, "/diff?a=0&b=1"), annotator.path_of(2, "/raw?card=0")):
        assert annotator.get(path).status_code == 403
    assert annotator.post_json(annotator.path_of(2, "/judgement"), judgement(ranks=[0, 1])).status_code == 403
    assert (
        annotator.post_json(annotator.path_of(2, "/draft"), {"content": {}, "revision": 1}).status_code == 403
    )
    for number in (0, 1, 2, 99, 2**53, 2**70):  # numbers of the store are none of the page
        assert annotator.get(f"/api/items/{number}").status_code == 404
    assert list(all_judgements(store)) == []


def test_a_reviewer_settles_what_was_not_handed_to_them(store) -> None:
    add_items(store, EXAMPLES)
    visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    item = visitor.get(visitor.path_of(2)).json()["item"]
    assert item["settles"]
    answer = visitor.post_json(
        visitor.path_of(2, "/judgement"), {"submission_id": "s", "kind": "ranking", "ranks": [0, 1]}
    )
    assert answer.status_code == 200
    (stored,) = current_judgements(store)
    assert stored.settles
    assert not visitor.get("/api/next").json()["item"]["settles"]


def test_differences_and_raw_texts(annotator) -> None:
    annotator.get("/api/next")
    parts = annotator.get(annotator.path_of(1, "/diff?a=0&b=1")).json()["parts"]
    assert {part["in"] for part in parts} >= {"only_a", "only_b"}
    assert annotator.get(annotator.path_of(1, "/diff?a=0&b=4")).status_code == 400
    assert annotator.get(annotator.path_of(1, "/diff?a=-1&b=x")).status_code == 400
    raw = [annotator.get(annotator.path_of(1, f"/raw?card={place}")).json()["html"] for place in range(4)]
    assert any("**all colours mixed together**" in html for html in raw)
    assert "curious twelve-year-old" in annotator.get(annotator.path_of(1, "/raw?message=0")).json()["html"]


def test_guideline_and_its_version(annotator, store) -> None:
    assert annotator.get("/api/guideline").json() == {"version": None, "html": ""}
    publish_guidelines(store, "# Be fair\n\n<script>x</script>", "admin")
    guideline = annotator.get("/api/guideline").json()
    assert guideline["version"] == 1
    assert "<h4>Be fair</h4>" in guideline["html"]
    assert "<script" not in guideline["html"]
    assert annotator.get("/api/next").json()["item"]["guideline_version"] == 1
    assert (
        annotator.post_json(annotator.path_of(1, "/judgement"), judgement(guideline_version=1)).status_code
        == 200
    )


def test_progress_counts_this_persons_work(annotator) -> None:
    annotator.get("/api/next")
    annotator.post_json(annotator.path_of(1, "/judgement"), judgement(besides=[]))
    annotator.post_json(annotator.path_of(2, "/judgement"), {"submission_id": "skip", "kind": "skip"})
    assert annotator.get("/api/progress").json() == {
        "num_judged": 1, "num_skipped": 1, "num_items": 4, "num_open": 2,
    }  # fmt: skip


def test_hostile_items_are_answered_as_json_that_is_utf8(store) -> None:
    add_items(
        store,
        [NewItem(f"h{number}", text or "Q", (text, "\ud800\x00")) for number, text in enumerate(HOSTILE)],
    )
    visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    for number in range(1, len(HOSTILE) + 1):
        answer = visitor.get(visitor.path_of(number))
        assert answer.status_code == 200
        answer.content.decode("utf-8")
        for card in answer.json()["item"]["cards"]:
            assert "<script" not in card["html"]
            assert "<script" not in (card["raw_html"] or "")


def test_the_page_names_its_person_and_brings_tags(annotator) -> None:
    page = annotator.get("/rank")
    assert page.status_code == 200
    assert re.search(r'data-annotator="[0-9a-f]{16}\.1"', page.text)
    assert "off topic" in page.text


def test_drafts_of_one_store_are_not_those_of_another_at_the_same_address(tmp_path) -> None:
    marks = set()
    for moment in (1.0, 1.0, 2.0):
        with open_store(
            tmp_path / f"{moment}.db", must_exist=False, now=lambda moment=moment: moment
        ) as store:
            marks.add(store_mark(store))
    assert len(marks) == 2, "the same store keeps its mark when it is opened again"


def test_guidelines_that_never_were_are_refused(annotator) -> None:
    item = annotator.get("/api/next").json()["item"]["id"]
    for version in (-1, 0, 1, 2**31, 2**70):
        body = {"kind": "skip", "submission_id": "one", "guideline_version": version}
        assert annotator.post_json(f"/api/items/{item}/judgement", body).status_code == 422
    assert annotator.get("/").headers["location"] == "/rank"


def test_half_an_emoji_or_an_endless_number_breaks_no_page(annotator, store) -> None:
    item = annotator.get("/api/next").json()["item"]["id"]
    half = b'{"revision": 1, "content": {"note": "\\ud83d"}}'
    headers = {"X-CSRF-Token": annotator.csrf_token, "Content-Type": "application/json"}

    def send(what: str, content: bytes) -> Any:
        return annotator.client.post(f"/api/items/{item}/{what}", content=content, headers=headers)

    assert send("draft", half).status_code == 200
    assert annotator.get("/api/next").json()["item"]["draft"]["content"]["note"] == "?"
    assert send("draft", half.replace(b'"\\ud83d"', b"1e999")).status_code == 400
    body = b'{"kind": "skip", "submission_id": "half", "note": "\\ud83d"}'
    assert send("judgement", body).status_code == 200
    assert annotator.get("/api/history").json()["judgements"][0]["note"] == "?"
