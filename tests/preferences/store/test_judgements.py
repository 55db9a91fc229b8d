"""Judgements: once each, never changed, never lost."""

from __future__ import annotations

import contextlib
import dataclasses
import threading

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from tests.preferences.store.examples import fill, item_of, judgement, new_items, skip

from posttrain.errors import DataError
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.drafts import draft_of, save_draft
from posttrain.preferences.store.failures import (
    InvalidSubmission,
    NotAssigned,
    StaleDraft,
    StaleJudgement,
    UnknownItem,
)
from posttrain.preferences.store.guidelines import (
    current_guidelines,
    guidelines_version,
    publish_guidelines,
)
from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.judgements import (
    all_judgements,
    count_judgements,
    current_judgements,
    history,
    judgements_of_item,
    newest_judgement_id,
    submit,
    submit_all,
)
from posttrain.preferences.store.progress import annotator_progress, store_progress
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.schema import judgements, seen_others
from posttrain.preferences.store.seen_others import has_seen_others, note_seen_others
from posttrain.preferences.store.settings import change_queue_settings


def test_everything_comes_back_as_it_was(store, clock):
    (anna,) = fill(store, 1)
    publish_guidelines(store, "Be kind.", "the boss")
    next_item(store, anna)
    sent = judgement(
        1,
        anna,
        ranks=(1, 0, 1),
        unacceptable=(False, True, False),
        grades=(None, 5, 1),
        tags=(("wrong", "made up \ud800"), (), ("<b>",)),
        note="NUL \x00 and 漢字",
        is_flagged=True,
        guideline_version=1,
        seconds=12.5,
    )
    done = submit(store, sent)
    (got,) = current_judgements(store)
    for field in dataclasses.fields(sent):
        if field.name != "submitted_at":
            assert getattr(got, field.name) == getattr(sent, field.name), field.name
    assert (got.judgement_id, got.submitted_at) == (done.judgement_id, clock.time)


def test_what_is_left_out_gets_an_entry_for_each_response(store):
    (anna,) = fill(store, 1)
    submit(store, judgement(1, anna, submitted_at=5.0), needs_lease=False)
    (got,) = current_judgements(store)
    assert got.unacceptable == (False, False, False)
    assert got.grades == (None, None, None)
    assert got.tags == ((), (), ())
    assert got.submitted_at == 5.0


def test_the_same_submission_counts_once(store):
    (anna,) = fill(store, 1)
    next_item(store, anna)
    sent = judgement(1, anna)
    first = submit(store, sent)
    again = submit(store, dataclasses.replace(sent, ranks=(2, 1, 0)))
    assert (first.is_new, again.is_new) == (True, False)
    assert first.judgement_id == again.judgement_id
    assert [got.ranks for got in all_judgements(store)] == [(0, 1, 1)]
    assert get_item(store, 1).num_judges == 1


def test_a_submission_id_cannot_be_used_for_another_item(store):
    (anna,) = fill(store, 2)
    submit(store, judgement(1, anna, submission_id="same"), needs_lease=False)
    with pytest.raises(InvalidSubmission, match="'same' was used for another judgement"):
        submit(store, judgement(2, anna, submission_id="same"), needs_lease=False)


def test_a_correction_replaces_the_current_one_and_both_stay(store):
    (anna,) = fill(store, 1)
    next_item(store, anna)
    first = submit(store, judgement(1, anna)).judgement_id
    second = submit(store, judgement(1, anna, ranks=(2, 1, 0), replaces=first)).judgement_id
    assert [got.judgement_id for got in current_judgements(store)] == [second]
    assert [got.judgement_id for got in all_judgements(store)] == [first, second]
    assert get_item(store, 1).num_judges == 1
    for stale in (None, first, 99):
        with pytest.raises(StaleJudgement) as refused:
            submit(store, judgement(1, anna, replaces=stale))
        assert refused.value.current == second
    assert count_judgements(store) == 1


def test_nothing_can_be_replaced_before_there_is_something(store):
    (anna,) = fill(store, 1)
    next_item(store, anna)
    with pytest.raises(StaleJudgement, match="has none"):
        submit(store, judgement(1, anna, replaces=1))


def test_a_skip_corrected_to_a_ranking_counts_and_back_again_opens_the_item(store):
    anna, bob = fill(store, 1, ("anna", "bob"))
    next_item(store, anna)
    first = submit(store, skip(1, anna)).judgement_id
    assert get_item(store, 1).num_judges == 0
    second = submit(store, judgement(1, anna, replaces=first)).judgement_id
    assert (get_item(store, 1).num_judges, get_item(store, 1).is_open) == (1, False)
    assert next_item(store, bob) is None
    submit(store, skip(1, anna, replaces=second))
    assert item_of(next_item(store, bob)) == 1


def test_who_was_never_given_an_item_cannot_judge_it_unless_asked_to(store):
    anna, bob = fill(store, 1, ("anna", "bob"))
    next_item(store, anna)
    with pytest.raises(NotAssigned):
        submit(store, judgement(1, bob))
    assert submit(store, judgement(1, bob), needs_lease=False).is_new
    with pytest.raises(UnknownItem):
        submit(store, judgement(5, bob), needs_lease=False)
    with pytest.raises(DataError, match="no annotator 9"):
        submit(store, judgement(1, 9), needs_lease=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ranks": None}, "a ranking needs ranks"),
        ({"ranks": (0, 1)}, "2 ranks for 3 responses"),
        ({"ranks": (0, 1, 3)}, "without gaps"),
        ({"ranks": (1, 2, 3)}, "without gaps"),
        ({"ranks": (0, -1, 1)}, "without gaps"),
        ({"ranks": (0, 1, 2**100)}, "without gaps"),  # and no list of so many is made
        ({"ranks": (0, True, 1)}, "whole numbers"),
        ({"kind": "skip"}, "only a ranking has ranks"),
        ({"kind": "best"}, "no judgement of kind 'best'"),
        ({"order_shown": (0, 1)}, "names each of 3 responses once"),
        ({"order_shown": (0, 1, 1)}, "names each of 3 responses once"),
        ({"unacceptable": (True,)}, "unacceptable has 1 entries"),
        ({"grades": (0, 1, 2)}, "a grade is 1 to 5"),
        ({"grades": (True, 1, 2)}, "a grade is 1 to 5"),
        ({"tags": (("",), (), ())}, "tags"),
        ({"tags": (("x" * 101,), (), ())}, "tags"),
        ({"tags": (("x",) * 51, (), ())}, "tags"),
        ({"note": "x" * 20_001}, "at most 20000"),
        ({"seconds": -1.0}, "-1.0 seconds"),
        ({"seconds": float("nan")}, "nan seconds"),
        ({"submission_id": ""}, "submission's id"),
        ({"submission_id": "ü"}, "submission's id"),
        ({"guideline_version": 3}, "no version 3 of the guidelines"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_stored(tmp_path, clock, change, reason):
    with open_store(tmp_path / "store.db", must_exist=False, now=clock) as store:
        (anna,) = fill(store, 1)
        next_item(store, anna)
        save_draft(store, anna, 1, {}, 1)
        with pytest.raises(InvalidSubmission, match=reason):
            submit(store, judgement(1, anna, **change))
        assert newest_judgement_id(store) == 0
        assert draft_of(store, anna, 1) is not None
        assert item_of(next_item(store, anna)) == 1


def test_judgements_cannot_be_changed_or_deleted(store):
    (anna,) = fill(store, 2)
    submit(store, judgement(1, anna), needs_lease=False)
    submit(store, judgement(2, anna), needs_lease=False)
    for statement in (update(judgements).values(note="better"), delete(judgements)):
        with pytest.raises(DBAPIError, match="only appended"), store.writing() as connection:
            connection.execute(statement)
    for forced in (
        "INSERT OR REPLACE INTO judgements SELECT * FROM judgements",
        "TRUNCATE judgements CASCADE",
    ):
        if store.is_sqlite == ("REPLACE" in forced):
            with pytest.raises(DBAPIError, match="only appended"), store.writing() as connection:
                connection.exec_driver_sql(forced)
    assert len(list(all_judgements(store))) == 2


def test_history_is_newest_first_and_in_pages(store):
    anna, bob = fill(store, 5, ("anna", "bob"))
    numbers = [submit(store, judgement(item, anna), needs_lease=False).judgement_id for item in range(1, 6)]
    submit(store, judgement(1, bob), needs_lease=False)
    changed = submit(store, judgement(2, anna, replaces=numbers[1])).judgement_id
    page = history(store, anna, limit=2)
    assert [one.judgement_id for one in page] == [changed, numbers[4]]
    rest = history(store, anna, before=page[-1].judgement_id)
    assert [one.item_id for one in rest] == [4, 3, 1]


def test_reading_on_from_a_judgement_misses_none(store):
    (anna,) = fill(store, 523)
    done = submit_all(store, [judgement(item, anna) for item in range(1, 511)])
    assert [one.judgement_id for one in current_judgements(store)] == [one.judgement_id for one in done]
    submit_all(store, [judgement(item, anna) for item in range(511, 524)])
    assert len(list(current_judgements(store, since=done[-1].judgement_id))) == 13
    assert newest_judgement_id(store) == history(store, anna, limit=1)[0].judgement_id


def test_everybodys_judgements_of_an_item(store):
    anna, bob = fill(store, 1, ("anna", "bob"))
    for who in (bob, anna):
        submit(store, judgement(1, who), needs_lease=False)
    assert [one.annotator_id for one in judgements_of_item(store, 1)] == [bob, anna]


def test_a_draft_that_comes_after_its_judgement_is_refused(store):
    (anna,) = fill(store, 2)
    next_item(store, anna)
    save_draft(store, anna, 1, {"note": "in time"}, 1)
    first = submit(store, judgement(1, anna)).judgement_id
    with pytest.raises(StaleJudgement, match="draft of item 1") as refused:
        save_draft(store, anna, 1, {"note": "late"}, 2)
    assert refused.value.current == first
    assert draft_of(store, anna, 1) is None
    save_draft(store, anna, 1, {"note": "a change"}, 3, replaces=first)
    submit(store, judgement(1, anna, replaces=first))
    for replaces in (first, None, first + 2, -1, 2**70):
        with pytest.raises(StaleJudgement):
            save_draft(store, anna, 1, {"note": "late again"}, 4, replaces=replaces)
    assert draft_of(store, anna, 1) is None
    with pytest.raises(StaleJudgement):
        save_draft(store, anna, 2, {}, 1, replaces=first)  # a judgement of another item


def test_a_draft_and_its_judgement_at_once_leave_no_draft(store):
    (anna,) = fill(store, 20)
    for item in range(1, 21):
        start = threading.Barrier(2)

        def draft(item=item, start=start):
            start.wait()
            with contextlib.suppress(StaleJudgement):
                save_draft(store, anna, item, {}, 1)

        late = threading.Thread(target=draft)
        late.start()
        start.wait()
        submit(store, judgement(item, anna), needs_lease=False)
        late.join()
        assert draft_of(store, anna, item) is None


def test_who_has_seen_others_settles(store, clock):
    anna, bob = fill(store, 2, ("anna", "bob"))
    first = submit(store, judgement(1, anna), needs_lease=False).judgement_id
    note_seen_others(store, anna, 1)
    clock.pass_seconds(5)
    note_seen_others(store, anna, 1)
    with store.reading() as connection:
        assert has_seen_others(connection, anna, 1)
        assert not has_seen_others(connection, anna, 2)
        assert not has_seen_others(connection, bob, 1)
        assert connection.scalars(select(seen_others.c.seen_at)).all() == [clock.time - 5]
    submit(store, judgement(1, anna, replaces=first))
    submit(store, judgement(2, anna), needs_lease=False)
    submit(store, judgement(1, bob), needs_lease=False)
    assert [(own.item_id, own.annotator_id, own.settles) for own in all_judgements(store)] == [
        (1, anna, False), (1, anna, True), (2, anna, False), (1, bob, False),
    ]  # fmt: skip


def test_drafts_go_forward_only_and_end_with_the_judgement(store, clock):
    (anna,) = fill(store, 1)
    next_item(store, anna)
    assert draft_of(store, anna, 1) is None
    save_draft(store, anna, 1, {"note": "\ud800\x00"}, 3)
    save_draft(store, anna, 1, {"note": "same revision"}, 3)
    with pytest.raises(StaleDraft) as refused:
        save_draft(store, anna, 1, {"note": "late"}, 2)
    assert refused.value.revision == 3
    draft = draft_of(store, anna, 1)
    assert draft is not None
    assert (draft.content, draft.revision, draft.updated_at) == ({"note": "same revision"}, 3, clock.time)
    with pytest.raises(UnknownItem):
        save_draft(store, anna, 8, {}, 1)
    with pytest.raises(InvalidSubmission, match="revision is -1"):
        save_draft(store, anna, 1, {}, -1)
    submit(store, judgement(1, anna))
    assert draft_of(store, anna, 1) is None


def test_guidelines_have_versions_that_stay(store):
    assert current_guidelines(store) is None
    assert publish_guidelines(store, "One", "anna").version == 1
    assert publish_guidelines(store, "One", "bob").version == 1
    assert publish_guidelines(store, "Two \x00", "bob").version == 2
    newest = current_guidelines(store)
    assert newest is not None
    assert (newest.version, newest.text, newest.author) == (2, "Two \x00", "bob")
    first = guidelines_version(store, 1)
    assert first is not None
    assert first.text == "One"
    assert guidelines_version(store, 3) is None


def test_progress_counts_what_counts(store, clock):
    anna, bob = fill(store, 4, ("anna", "bob"))
    change_queue_settings(store, overlap=2)
    submit(store, judgement(1, anna), needs_lease=False)
    submit(store, judgement(1, bob), needs_lease=False)
    submit(store, judgement(2, anna, kind="cannot_rank", ranks=None), needs_lease=False)
    submit(store, skip(3, anna), needs_lease=False)
    assert item_of(next_item(store, bob)) == 2
    mine = annotator_progress(store, anna)
    assert (mine.num_ranked, mine.num_cannot_rank, mine.num_skipped, mine.num_judged) == (1, 1, 1, 2)
    assert (mine.num_items, mine.num_open) == (4, 1)
    everyone = store_progress(store)
    assert (everyone.num_items, everyone.num_closed, everyone.num_wanted, everyone.num_judged) == (4, 1, 8, 3)
    assert (everyone.num_leased, everyone.num_judgements, everyone.num_over_overlap) == (1, 4, 0)
    change_queue_settings(store, overlap=1)
    assert store_progress(store).num_over_overlap == 1


def test_a_persons_numbers_move_alike_after_ordinary_items_and_known_answers(store):
    anna, bob = fill(store, 3, ("anna", "bob"))
    add_items(store, new_items(2, start=50, gold_ranks=(0, 0, 0)))

    def numbers(person):
        progress = annotator_progress(store, person)
        return progress.num_judged + progress.num_skipped, progress.num_open, progress.num_items

    assert numbers(anna) == (0, 3, 3), "while none are handed out they are not to be had"
    change_queue_settings(store, gold_every=2, overlap=2)
    assert numbers(anna) == (0, 5, 5)
    for step, item in enumerate((4, 1, 5, 2, 3), start=1):
        submit(store, (skip if item in (5, 2) else judgement)(item, anna), needs_lease=False)
        assert numbers(anna) == (step, 5 - step, 5)
    assert numbers(bob) == (0, 5, 5)


def test_known_answers_are_counted_apart(store):
    fill(store, 1)
    add_items(store, new_items(2, start=50, gold_ranks=(0, 0, 0)))
    everyone = store_progress(store)
    assert (everyone.num_items, everyone.num_gold, everyone.num_wanted) == (1, 2, 1)
