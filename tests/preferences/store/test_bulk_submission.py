"""Many first judgements at once: what `submit` does one by one, in both databases."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import select
from tests.preferences.store.examples import fill, judgement, skip

from posttrain.preferences.exporting.export_file import export_store
from posttrain.preferences.exporting.fingerprint import fingerprint_of_judgements
from posttrain.preferences.importing.import_file import ImportSettings, import_files
from posttrain.preferences.store.bulk_submission import submit_first_judgements
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.failures import InvalidSubmission
from posttrain.preferences.store.items import iterate_items
from posttrain.preferences.store.judgements import all_judgements, current_judgements, submit
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.schema import leases
from posttrain.preferences.store.settings import change_queue_settings


def state(store: Store) -> list:
    items = [(item.item_id, item.num_judges, item.is_open) for item in iterate_items(store)]
    said = [replace(own, judgement_id=0) for own in current_judgements(store)]
    return [items, said, len(list(all_judgements(store)))]


def some(people: list[int]) -> list:
    anna, bo = people
    return [
        judgement(1, anna), judgement(1, bo, ranks=(0, 0, 0), tags=(("x",), (), ())), skip(2, anna),
        judgement(2, bo, kind="cannot_rank", ranks=None, unacceptable=(True, True, True)), judgement(3, anna),
    ]  # fmt: skip


def test_it_is_what_one_by_one_gives(new_place, clock):
    states = []
    for in_bulk in (True, False):
        with open_store(new_place(), must_exist=False, now=clock) as store:
            submissions = some(fill(store, 4, ("anna", "bo")))
            submissions = [
                replace(own, submission_id=f"s-{number}") for number, own in enumerate(submissions)
            ]
            change_queue_settings(store, overlap=2)
            if in_bulk:
                done = submit_first_judgements(store, submissions)
                assert (done.num_added, done.num_known, done.has_another) == (5, 0, ())
                again = submit_first_judgements(store, submissions)
                assert (again.num_added, again.num_known) == (0, 5)
            else:
                for submission in submissions:
                    submit(store, submission, needs_lease=False)
            states.append(state(store))
    assert states[0] == states[1]
    assert states[0][0] == [(1, 2, False), (2, 1, True), (3, 1, True), (4, 0, True)]


def test_somebody_who_judged_already_keeps_what_they_said_and_leases_end(store):
    anna, bo = fill(store, 2, ("anna", "bo"))
    submit(store, judgement(1, anna), needs_lease=False)
    assert next_item(store, bo) is not None
    other, twice = judgement(1, anna, ranks=(1, 0, 0)), judgement(2, bo)
    done = submit_first_judgements(store, [other, judgement(1, bo), twice, judgement(2, bo)])
    assert done.num_added == 2
    assert [own.item_id for own in done.has_another] == [1, 2]
    assert next(iter(current_judgements(store))).ranks == (0, 1, 1)
    with store.reading() as connection:
        assert connection.execute(select(leases)).all() == []


def test_what_does_not_fit_stores_nothing_of_its_batch(store):
    (anna,) = fill(store, 2)
    with pytest.raises(InvalidSubmission, match="3 responses"):
        submit_first_judgements(store, [judgement(1, anna), judgement(2, anna, ranks=(0, 1))])
    assert list(all_judgements(store)) == []


def test_an_order_that_nobody_knows_is_kept_as_such(store):
    anna, bo = fill(store, 1, ("anna", "bo"))
    submit_first_judgements(store, [judgement(1, anna, order_shown=())])
    assert next(iter(current_judgements(store))).order_shown == ()
    with pytest.raises(InvalidSubmission, match="order shown"):
        submit(store, judgement(1, bo, order_shown=()))


def test_out_of_one_database_and_into_another_are_the_same_bytes(new_place, clock, tmp_path):
    with open_store(new_place(), must_exist=False, now=clock) as first:
        submissions = some(fill(first, 3, ("anna", "bo")))
        submit_first_judgements(first, submissions)
        before = fingerprint_of_judgements(first)
        current = next(iter(current_judgements(first)))
        correction = judgement(1, current.annotator_id, note="NUL \0", replaces=current.judgement_id)
        submit(first, correction, needs_lease=False)
        assert fingerprint_of_judgements(first) != before
        export_store(first, tmp_path / "first.jsonl")
        export_store(first, tmp_path / "pairs.jsonl", "pairs", ties="soft")
    with open_store(new_place(), must_exist=False, now=clock) as second:
        report = import_files(second, [tmp_path / "first.jsonl"], ImportSettings())
        assert (report.num_items_added, report.num_judgements_added, report.left_out) == (3, 6, ())
        export_store(second, tmp_path / "second.jsonl")
        assert import_files(second, [tmp_path / "first.jsonl"], ImportSettings()).num_judgements_known == 6
    assert (tmp_path / "second.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes()
    assert len({json.loads(line)["id"] for line in (tmp_path / "pairs.jsonl").read_text().splitlines()}) == 9


def test_a_password_may_stand_in_the_environment(monkeypatch):
    from posttrain.preferences.store.postgresql import engine_for

    pytest.importorskip("pg8000")
    monkeypatch.setenv("PGPASSWORD", "from outside")
    engine, name = engine_for("postgresql://anna@localhost/db")
    assert engine.url.password == "from outside"
    assert name == "postgresql://anna:***@localhost/db"
    assert engine_for("postgresql://anna:own@localhost/db")[0].url.password == "own"
