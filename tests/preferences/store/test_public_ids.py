"""The random numbers by which annotators know items, and how they count them."""

from __future__ import annotations

import pytest
from tests.preferences.store.examples import fill, judgement, new_items

from posttrain.preferences.store import public_ids
from posttrain.preferences.store.assignments import assignment_of
from posttrain.preferences.store.failures import UnknownItem
from posttrain.preferences.store.items import add_items, get_item, iterate_items
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.own_numbers import own_numbers
from posttrain.preferences.store.public_ids import BITS, item_of_public_id, items_of_public_ids
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.settings import change_queue_settings


def test_every_item_is_found_by_its_public_number_alone(store):
    fill(store, 5)
    add_items(store, new_items(5))  # known ones keep theirs
    known = {item.public_id: item.item_id for item in iterate_items(store)}
    assert sorted(known.values()) == [1, 2, 3, 4, 5]
    with store.reading() as connection:
        assert items_of_public_ids(connection, [*known, 1, 2**BITS - 1]) == known
        for public_id, item_id in known.items():
            assert item_of_public_id(connection, public_id) == item_id
        for number in (1, 5, 2**BITS, 2**63, 2**100):
            with pytest.raises(UnknownItem):
                item_of_public_id(connection, number)


def test_a_number_that_was_drawn_before_is_drawn_again(store, monkeypatch):
    draws = iter([9, 9, 9, 4, 9, 4, 7, 2**53 - 2])
    monkeypatch.setattr(public_ids.secrets, "randbelow", lambda bound: next(draws))
    fill(store, 1)
    add_items(store, new_items(3, start=10))
    assert get_item(store, 1).public_id == 10
    assert {get_item(store, number).public_id for number in (2, 3, 4)} == {5, 8, 2**53 - 1}


def test_a_person_counts_what_the_queue_gave_them(store, clock):
    anna, bob = fill(store, 3, ("anna", "bob"))
    change_queue_settings(store, overlap=2)

    def number_of(person, item):
        return assignment_of(store, person, item, needs_lease=False).own_number

    first = next_item(store, anna)
    ahead = next_item(store, anna, besides=[1])
    assert first is not None
    assert ahead is not None
    assert [(one.item.item_id, one.own_number) for one in (first, ahead)] == [(1, 1), (2, 2)]
    clock.pass_seconds(10**6)
    again = next_item(store, anna)
    assert again is not None
    assert again.own_number == number_of(anna, 1) == 1
    number = submit(store, judgement(1, anna)).judgement_id
    submit(store, judgement(1, anna, replaces=number))
    submit(store, judgement(3, bob), needs_lease=False)
    assert (number_of(anna, 1), number_of(anna, 2), number_of(anna, 3)) == (1, 2, None)
    assert number_of(bob, 3) is None
    with store.reading() as connection:
        assert own_numbers(connection, anna, [1, 2, 3]) == {1: 1, 2: 2}
