"""The quality pages without a browser: what they say, who may see them, and how a disagreement is settled."""

import re
import uuid

import pytest
from tests.preferences.quality.team import Team
from tests.web.quality.example_store import fill
from tests.web.visitor import ACCOUNTS, LOCAL, Visitor, add_person

from posttrain.preferences.quality.report import quality_report
from posttrain.preferences.quality.settling import settled_items
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.judgements import all_judgements, judgements_of_item
from posttrain.preferences.store.people import person_at_this_machine
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store.settings import change_queue_settings
from posttrain.web.app import create_app


@pytest.fixture
def team(store):
    return Team(store)


@pytest.fixture
def visitor(store):
    person_at_this_machine(store, "alice", by=Actor())
    return Visitor(create_app(store, access=LOCAL)).open_printed_address()


def form_of(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(submission_id|replaces)" value="([^"]*)">', html))


def test_an_empty_store(visitor):
    answer = visitor.get("/quality")
    assert answer.status_code == 200
    assert "too few: 0 of 10 shared items" in answer.text
    assert "Nobody has judged anything yet." in answer.text
    assert "Too little has been judged twice" in answer.text


def test_the_numbers_of_a_team(store, visitor):
    fill(store, num_items=36)
    text = visitor.get("/quality").text.replace("\xa0", " ")
    for name in ("anna", "björn", "chen", "dara", "emil", "ppo step 400"):
        assert name in text
    assert re.search(r"Krippendorff&#39;s alpha</dt>\s*<dd><span class=\"figure\">0\.\d\d</span>", text)
    assert "Who agrees with whom" in text
    assert "Best card by place" in text
    assert 'class="interval"' in text
    assert " style=" not in text
    assert "<script" not in text
    assert "Flagged by annotators" in text


def test_new_judgements_are_said_until_they_are_counted(team, visitor, clock):
    items = team.add(2)
    team.says(team.anna, items[0], 0, 1)
    assert "from 1 ranking " in visitor.get("/quality").text
    team.says(team.ben, items[0], 0, 1)
    assert "1 newer judgement" in visitor.get("/quality").text
    answer = visitor.get("/quality?now").text
    assert "from 2 rankings" in answer
    assert "Nothing newer." in answer


@pytest.mark.parametrize("path", ["/quality", "/quality/items/1"])
def test_annotators_do_not_see_what_others_said(team, path):
    team.add(1)
    add_person(team.store, "bob")
    add_person(team.store, "rita", "reviewer")
    app = create_app(team.store, access=ACCOUNTS)
    assert Visitor(app).get(path).status_code == 303
    annotator, reviewer = Visitor(app), Visitor(app)
    annotator.sign_in("bob")
    reviewer.sign_in("rita")
    assert annotator.get(path).status_code == 403
    assert reviewer.get(path).status_code == 200
    assert annotator.post_form("/quality/items/1/settle", kind="cannot_rank").status_code == 403


def test_an_item_with_what_everybody_said(team, visitor):
    (item,) = team.add(1, num_responses=3)
    team.says(
        team.anna, item, 0, 1, 1, note="A is right", grades=(5, None, 2), unacceptable=(False, False, True)
    )
    team.says(team.ben, item, kind="cannot_rank", size=3)
    text = visitor.get(f"/quality/items/{item}").text
    row = re.search(r"<bdi>anna</bdi>.*?</tr>", text, re.DOTALL)[0]
    assert re.findall(r'rank-column place-\d">([^<]*?)\s*<', row) == ["1", "2 =", "2 ="]
    assert "A is right" in row
    assert "grade 5" in row
    assert row.count("unacceptable") == 2  # the mark's title and its text
    assert "cannot be ranked" in text


@pytest.mark.parametrize("number", ["0", "99", "99999999999999999999999"])
def test_there_is_no_such_item(visitor, number):
    answer = visitor.get(f"/quality/items/{number}")
    assert answer.status_code == 404
    assert "no such item" in answer.text


def test_a_reviewers_judgement_settles_and_leads_to_the_next(team, visitor):
    first, second = team.add(2)
    for item in (first, second):
        team.says(team.anna, item, 0, 1)
        team.says(team.ben, item, 1, 0)
    assert "2 items differ" in visitor.get("/quality").text
    form = form_of(visitor.get(f"/quality/items/{first}").text)
    answer = visitor.post_form(
        f"/quality/items/{first}/settle",
        kind="ranking",
        rank_0="2",
        rank_1="2",
        unacceptable_1="yes",
        note="both",
        **form,
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/quality/items/{second}?settled={first}"
    own = judgements_of_item(team.store, first)[-1]
    assert (own.settles, own.ranks, own.unacceptable, own.note) == (True, (0, 0), (False, True), "both")
    assert settled_items(team.store) == {first}
    assert f'/quality/items/{first}"' not in visitor.get("/quality").text
    assert "Settled by a reviewer" in visitor.get(f"/quality/items/{first}").text
    # The same form sent again, as by a double click, counts once.
    assert (
        visitor.post_form(
            f"/quality/items/{first}/settle", kind="ranking", rank_0="2", rank_1="2", **form
        ).status_code
        == 303
    )
    assert len(judgements_of_item(team.store, first)) == 3


@pytest.mark.parametrize("has_judged", [False, True])
def test_who_has_read_what_others_say_settles_also_what_the_queue_gave_them(team, visitor, has_judged):
    (item,) = team.add(1)
    change_queue_settings(team.store, overlap=5)
    team.says(team.anna, item, 0, 1)
    given = visitor.get("/api/next").json()["item"]
    assert not given["settles"]
    body = {"kind": "ranking", "ranks": [0, 0]}
    path = f"/api/items/{given['id']}/judgement"
    first = None
    if has_judged:
        answer = visitor.post_json(path, {**body, "submission_id": "before"})
        first = answer.json()["judgement_id"]
    assert (
        "any judgement of it that you give from here on settles it"
        in visitor.get(f"/quality/items/{item}").text
    )
    assert visitor.get(f"/api/items/{given['id']}").json()["item"]["settles"]
    answer = visitor.post_json(path, {**body, "submission_id": "after", "replaces": first})
    assert answer.status_code == 200
    theirs = [own for own in all_judgements(team.store) if own.annotator_id != team.anna]
    assert [own.settles for own in theirs] == [False, True][not has_judged :]
    report = quality_report(team.store)
    assert report.num_judged_twice == has_judged, "what was said before reading stays evidence, and only that"


def test_an_item_that_only_oneself_has_judged_is_still_judged_independently(team, visitor):
    first, second = team.add(2)
    change_queue_settings(team.store, overlap=5)
    for item in (first, second):
        text = visitor.get(f"/quality/items/{item}").text
        assert "from here on settles it" not in text
    given = visitor.get("/api/next").json()["item"]
    assert not given["settles"]
    skip = {"submission_id": "one", "kind": "skip"}
    assert visitor.post_json(f"/api/items/{given['id']}/judgement", skip).status_code == 200
    visitor.get(f"/quality/items/{first}")
    assert not any(own.settles for own in all_judgements(team.store))
    assert not visitor.get(f"/api/items/{given['id']}").json()["item"]["settles"]


def test_who_has_read_a_known_answer_is_not_measured_by_it(store, visitor):
    add_items(store, [NewItem("gold", "Q", ("a", "b"), gold_ranks=(0, 1))])
    change_queue_settings(store, gold_every=1)
    given = visitor.get("/api/next").json()["item"]
    assert "You have now seen the known answer" in visitor.get("/quality/items/1").text
    body = {"submission_id": "one", "kind": "ranking", "ranks": [0, 1]}
    assert visitor.post_json(f"/api/items/{given['id']}/judgement", body).status_code == 200
    assert [own.settles for own in all_judgements(store)] == [True]


def test_items_lead_to_the_ranking_page_with_them(team, visitor):
    differing, flagged = team.add(2)
    team.says(team.anna, differing, 0, 1)
    team.says(team.ben, differing, 1, 0)
    team.says(team.anna, flagged, 0, 1, is_flagged=True)
    html = visitor.get("/quality").text
    for item in (differing, flagged):
        address = f"/rank?item={get_item(team.store, item).public_id}"
        assert f'href="{address}"' in html
        assert f'href="{address}"' in visitor.get(f"/quality/items/{item}").text
        public_id = address.partition("=")[2]
        shown = visitor.get(f"/api/items/{public_id}").json()["item"]
        assert f"Question {item}?" in str(shown["prompt"])
        assert shown["settles"]


def test_a_form_that_is_behind_or_not_complete_stores_nothing(team, visitor):
    (item,) = team.add(1)
    form = form_of(visitor.get(f"/quality/items/{item}").text)
    path = f"/quality/items/{item}/settle"
    assert visitor.post_form(path, kind="ranking", rank_0="1", **form).status_code == 400
    assert visitor.post_form(path, kind="ranking", rank_0="1", rank_1="3", **form).status_code == 400
    assert visitor.post_form(path, kind="cannot_rank", submission_id="x", replaces="").status_code == 400
    assert judgements_of_item(team.store, item) == []
    assert visitor.post_form(path, kind="cannot_rank", **form).status_code == 303
    stale = {**form, "submission_id": str(uuid.uuid4())}
    answer = visitor.post_form(path, kind="ranking", rank_0="1", rank_1="2", **stale)
    assert answer.status_code == 409
    assert "another window" in answer.text
    assert [own.kind for own in judgements_of_item(team.store, item)] == ["cannot_rank"]
    renewed = form_of(visitor.get(f"/quality/items/{item}").text)
    assert visitor.post_form(path, kind="ranking", rank_0="1", rank_1="2", **renewed).status_code == 303
    assert (
        visitor.post_form(
            path, kind="ranking", rank_0="1", rank_1="2", csrf_token="wrong", **renewed
        ).status_code
        == 403
    )


def test_hostile_texts_are_text(team, visitor):
    evil = '<script>alert(1)</script><img src=x onerror=alert(2)> <b style="x">b</b>'
    add_items(team.store, [NewItem("<i>id</i>", ({"role": "<u>user</u>", "content": evil},), (evil, "fine"))])
    team.says(team.anna, 1, 0, 1, note=evil, tags=(("<s>tag</s>",), ()), is_flagged=True)
    for path in ("/quality", "/quality/items/1"):
        text = visitor.get(path).text
        for tag in ("<script", "<img", "<i>id", "<u>user", "<s>tag", "<b style"):
            assert tag not in text, (path, tag)
