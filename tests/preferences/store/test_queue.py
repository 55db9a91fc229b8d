"""Who gets which item next."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.preferences.store.examples import add_person, fill, item_of, judgement, new_items, skip

from posttrain.errors import ConfigError, DataError
from posttrain.preferences.store.assignments import assignment_of
from posttrain.preferences.store.card_order import order_shown
from posttrain.preferences.store.drafts import save_draft
from posttrain.preferences.store.failures import NotAssigned, UnknownItem
from posttrain.preferences.store.gold import is_gold_due
from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.progress import annotator_progress
from posttrain.preferences.store.queue import next_item, release_lease, renew_lease
from posttrain.preferences.store.settings import QueueSettings, change_queue_settings, queue_settings
from posttrain.preferences.store.targeting import Placement, clear_queue, place_in_queue


def test_items_come_in_the_order_of_import_until_none_is_left(store):
    (anna,) = fill(store, 3)
    for expected in (1, 2, 3):
        assert item_of(next_item(store, anna)) == expected
        submit(store, judgement(expected, anna))
    assert next_item(store, anna) is None


def test_what_one_holds_comes_back_with_its_draft_and_the_same_order_of_cards(store, clock):
    (anna,) = fill(store, 3)
    first = next_item(store, anna)
    assert first is not None
    save_draft(store, anna, 1, {"ranks": [0, None, 1]}, revision=4)
    clock.pass_seconds(100)
    again = next_item(store, anna)
    assert again is not None
    assert item_of(again) == 1
    assert again.order_shown == first.order_shown == order_shown(7, 1, 3)
    assert again.draft is not None
    assert again.draft.content == {"ranks": [0, None, 1]}
    assert again.lease_expires_at == first.lease_expires_at + 100  # asking again renews it


def test_what_a_page_has_open_already_is_not_handed_out_again(store):
    (anna,) = fill(store, 3)
    assert item_of(next_item(store, anna)) == 1
    assert item_of(next_item(store, anna, besides=[1])) == 2
    assert item_of(next_item(store, anna, besides=[1, 2])) == 3
    assert next_item(store, anna, besides=[1, 2, 3]) is None
    assert item_of(next_item(store, anna)) == 1


def test_two_people_never_get_the_same_item_of_overlap_one(store):
    anna, bob = fill(store, 2, ("anna", "bob"))
    assert [item_of(next_item(store, who)) for who in (anna, bob)] == [1, 2]
    carol = add_person(store, "carol")
    assert next_item(store, carol) is None


def test_overlap_counts_different_people_and_leases(store):
    people = fill(store, 2, ("anna", "bob", "carol"))
    change_queue_settings(store, overlap=2)
    assert [item_of(next_item(store, who)) for who in people] == [1, 1, 2]
    submit(store, judgement(1, people[0]))
    assert item_of(next_item(store, people[0])) == 2
    submit(store, judgement(1, people[1]))
    assert not get_item(store, 1).is_open
    assert next_item(store, people[1]) is None  # anna and carol are at item 2


def test_an_items_own_overlap_counts(store):
    people = fill(store, 1, ("anna", "bob", "carol"), overlap=2)
    assert [item_of(next_item(store, who)) for who in people] == [1, 1, None]


def test_an_expired_lease_frees_the_item_and_its_judgement_is_kept(store, clock):
    anna, bob = fill(store, 1, ("anna", "bob"))
    next_item(store, anna)
    clock.pass_seconds(1799)
    assert next_item(store, bob) is None
    clock.pass_seconds(2)
    assert item_of(next_item(store, bob)) == 1
    assert next_item(store, anna) is None
    assert submit(store, judgement(1, anna)).is_new
    assert submit(store, judgement(1, bob)).is_new
    assert get_item(store, 1).num_judges == 2


def test_who_comes_back_after_expiry_gets_the_same_item_if_it_still_has_a_place(store, clock):
    anna, _bob = fill(store, 2, ("anna", "bob"))
    assert item_of(next_item(store, anna)) == 1
    clock.pass_seconds(5000)
    assert item_of(next_item(store, anna)) == 1


def test_renewing_keeps_it_and_after_expiry_only_while_it_is_free(store, clock):
    anna, bob = fill(store, 1, ("anna", "bob"))
    next_item(store, anna)
    clock.pass_seconds(1000)
    assert renew_lease(store, anna, 1) == clock.time + 1800
    clock.pass_seconds(1700)
    assert next_item(store, bob) is None
    clock.pass_seconds(200)
    assert renew_lease(store, anna, 1) == clock.time + 1800
    clock.pass_seconds(2000)
    assert item_of(next_item(store, bob)) == 1
    with pytest.raises(NotAssigned, match="somebody else has it now"):
        renew_lease(store, anna, 1)
    with pytest.raises(NotAssigned, match="holds no lease"):
        renew_lease(store, bob, 77)


def is_renewed(store, person, item_id):
    try:
        renew_lease(store, person, item_id)
    except NotAssigned:
        return False
    return True


@pytest.fixture(params=["ordinary", "known answer"])
def kind_of_item(request, store):
    """The fields of all items of a test, and what hands them out."""
    if request.param == "ordinary":
        return {}
    change_queue_settings(store, gold_every=1)
    return {"gold_ranks": (0, 1, 2)}


class TestNobodyTellsKnownAnswersByExpiredLeases:
    """The same steps with items of either kind, and the same is seen."""

    def test_it_is_kept_until_somebody_else_works(self, store, clock, kind_of_item):
        anna, bob = fill(store, 2, ("anna", "bob"), **kind_of_item)
        assert item_of(next_item(store, anna)) == 1
        clock.pass_seconds(5000)
        assert is_renewed(store, anna, 1)
        clock.pass_seconds(5000)
        assert item_of(next_item(store, anna)) == 1
        clock.pass_seconds(5000)
        assert item_of(next_item(store, bob)) == 1
        assert not is_renewed(store, anna, 1)
        assert annotator_progress(store, anna).num_open <= 2
        submit(store, judgement(1, bob))
        assert not is_renewed(store, anna, 1)
        assert annotator_progress(store, anna).num_open == 1
        assert item_of(next_item(store, anna)) == 2
        submit(store, judgement(2, anna))
        assert next_item(store, anna) is None
        assert annotator_progress(store, anna).num_open == 0
        assert submit(store, judgement(1, anna)).is_new  # and what they say after all is kept

    def test_with_an_overlap_it_is_kept_while_a_place_is_left(self, store, clock, kind_of_item):
        anna, bob, carol = fill(store, 1, ("anna", "bob", "carol"), overlap=2, **kind_of_item)
        assert item_of(next_item(store, anna)) == 1
        clock.pass_seconds(5000)
        assert item_of(next_item(store, bob)) == 1
        assert is_renewed(store, anna, 1)
        submit(store, judgement(1, bob))
        clock.pass_seconds(5000)
        assert is_renewed(store, anna, 1)
        clock.pass_seconds(5000)
        assert item_of(next_item(store, carol)) == 1
        assert not is_renewed(store, anna, 1)
        assert next_item(store, anna) is None


def test_a_known_answer_is_lost_also_to_somebody_who_is_given_another_item(store, clock):
    anna, bob = fill(store, 1, ("anna", "bob"), gold_ranks=(0, 1, 2))
    add_items(store, new_items(2, start=1))
    change_queue_settings(store, gold_every=1)
    assert item_of(next_item(store, anna)) == 1
    change_queue_settings(store, gold_every=0)
    clock.pass_seconds(5000)
    assert item_of(next_item(store, bob)) == 2  # of the queue, of which anna believes hers to be
    assert not is_renewed(store, anna, 1)
    assert item_of(next_item(store, anna)) == 3


def test_releasing_gives_it_to_the_next(store):
    anna, bob = fill(store, 1, ("anna", "bob"))
    next_item(store, anna)
    release_lease(store, anna, 1)
    assert item_of(next_item(store, bob)) == 1
    release_lease(store, anna, 1)  # nothing held, nothing done
    assert item_of(next_item(store, bob)) == 1


def test_a_skip_is_not_shown_again_and_leaves_the_place_to_others(store):
    anna, bob = fill(store, 2, ("anna", "bob"))
    next_item(store, anna)
    submit(store, skip(1, anna))
    assert item_of(next_item(store, anna)) == 2
    assert item_of(next_item(store, bob)) == 1
    assert get_item(store, 1).num_judges == 0


def test_higher_priority_comes_first_and_clearing_puts_all_back(store):
    (anna,) = fill(store, 5)
    submit(store, judgement(1, anna), needs_lease=False)
    place_in_queue(
        store, [Placement(4, 2.0, "uncertain"), Placement(5, 3.5, "uncertain"), Placement(2, -1.0)]
    )
    assert get_item(store, 5).priority == 3.5
    assert get_item(store, 5).queue == "uncertain"
    seen = []
    for _ in range(2):
        item = item_of(next_item(store, anna))
        seen.append(item)
        submit(store, judgement(item, anna))
    assert seen == [5, 4]
    assert clear_queue(store, "uncertain") == 2
    assert get_item(store, 5).priority == 0.0
    assert [item_of(next_item(store, anna, besides=besides)) for besides in ([], [3])] == [3, 2]


def test_new_items_go_before_those_of_low_priority_also_for_who_has_got_that_far(store):
    (anna,) = fill(store, 3)
    place_in_queue(store, [Placement(2, -1.0), Placement(3, -2.0)])
    for expected in (1, 2):
        assert item_of(next_item(store, anna)) == expected
        submit(store, judgement(expected, anna))
    add_items(store, new_items(1, start=10))
    assert item_of(next_item(store, anna)) == 4


def test_placing_checks_all_before_it_places_any(store):
    fill(store, 2)
    with pytest.raises(UnknownItem, match="no item 9"):
        place_in_queue(store, [Placement(1, 5.0), Placement(9, 5.0)])
    with pytest.raises(DataError, match="priority nan"):
        place_in_queue(store, [Placement(1, float("nan"))])
    with pytest.raises(DataError, match="overlap of 0"):
        place_in_queue(store, [Placement(1, 1.0, overlap=0)])
    assert get_item(store, 1).priority == 0.0


def test_a_raised_overlap_opens_items_again_for_those_who_have_passed_them(store):
    anna, bob = fill(store, 3, ("anna", "bob"))
    for _ in range(2):
        submit(store, judgement(item_of(next_item(store, anna)), anna))
    assert item_of(next_item(store, bob)) == 3
    submit(store, judgement(3, bob))
    place_in_queue(store, [Placement(2, 0.0, overlap=2)])
    assert item_of(next_item(store, bob)) == 2
    submit(store, judgement(2, bob))
    change_queue_settings(store, overlap=2)
    assert item_of(next_item(store, bob)) == 1
    assert item_of(next_item(store, anna)) == 3
    change_queue_settings(store, overlap=1)
    assert not get_item(store, 1).is_open


def test_a_judgement_corrected_to_a_skip_brings_the_item_back_for_those_who_have_passed_it(store):
    anna, bob = fill(store, 3, ("anna", "bob"))
    first = submit(store, judgement(1, anna), needs_lease=False).judgement_id
    assert item_of(next_item(store, bob)) == 2
    submit(store, judgement(2, bob))
    assert item_of(next_item(store, bob)) == 3
    submit(store, judgement(3, bob))
    submit(store, skip(1, anna, replaces=first))
    assert item_of(next_item(store, bob)) == 1


def test_known_answers_are_one_in_so_many_for_everybody_and_are_never_used_up(store):
    add_items(store, new_items(4, gold_ranks=(0, 1, 2)))  # items 1 to 4
    add_items(store, new_items(20, start=100))
    people = [add_person(store, name, seed) for seed, name in enumerate(("anna", "bob"))]
    change_queue_settings(store, overlap=2, gold_every=5)
    for person in people:
        seen = []
        for _ in range(20):
            item = item_of(next_item(store, person))
            seen.append(item)
            submit(store, judgement(item, person))
        for run in range(4):
            gold = [item for item in seen[5 * run : 5 * run + 5] if item <= 4]
            assert gold == [run + 1]
        assert sorted(set(seen)) == sorted(seen)
    assert get_item(store, 1).is_open
    last = [
        item_of(next_item(store, people[0], besides=list(range(5, number)))) for number in (5, 22, 23, 24, 25)
    ]
    assert last == [21, 22, 23, 24, None]  # all known answers are judged; the rest comes


def test_settings_are_kept_and_checked(store):
    assert queue_settings(store) == QueueSettings()
    assert change_queue_settings(store, overlap=3, lease_seconds=60) == QueueSettings(3, 0, 60)
    assert change_queue_settings(store, gold_every=5) == QueueSettings(3, 5, 60)
    assert queue_settings(store) == QueueSettings(3, 5, 60)
    for wrong in ({"overlap": 0}, {"gold_every": -1}, {"lease_seconds": 0}, {"lease_seconds": float("nan")}):
        with pytest.raises(ConfigError):
            change_queue_settings(store, **wrong)
    assert queue_settings(store) == QueueSettings(3, 5, 60)


def test_who_is_not_in_the_store_gets_nothing(store):
    with pytest.raises(DataError, match="no annotator 5"):
        next_item(store, 5)


def test_an_item_is_shown_to_those_who_were_given_it_or_have_judged_it(store):
    anna, bob = fill(store, 2, ("anna", "bob"))
    next_item(store, anna)
    assert assignment_of(store, anna, 1).lease_expires_at is not None
    with pytest.raises(NotAssigned):
        assignment_of(store, bob, 1)
    assert assignment_of(store, bob, 1, needs_lease=False).earlier is None
    done = submit(store, judgement(1, anna))
    earlier = assignment_of(store, anna, 1).earlier
    assert earlier is not None
    assert earlier.judgement_id == done.judgement_id
    with pytest.raises(UnknownItem):
        assignment_of(store, anna, 33)


def test_each_order_of_cards_is_as_likely_as_the_others():
    counts = Counter(order_shown(seed, item, 3) for seed in range(40) for item in range(150))
    assert len(counts) == 6
    assert all(abs(count - 1000) < 5 * (1000 * 5 / 6) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("gold_every", [1, 2, 7])
def test_one_known_answer_in_each_run_at_a_place_that_differs(gold_every):
    runs = [
        [is_gold_due(3, run * gold_every + place, gold_every) for place in range(gold_every)]
        for run in range(50)
    ]
    assert all(sum(run) == 1 for run in runs)
    assert len({run.index(True) for run in runs}) == gold_every


def test_no_known_answers_unless_they_are_wanted():
    assert not any(is_gold_due(3, number, 0) for number in range(100))
