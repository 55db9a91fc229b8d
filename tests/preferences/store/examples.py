"""Small items, people and judgements for the tests of the store."""

from __future__ import annotations

from itertools import count
from typing import Any

from sqlalchemy import insert

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.people import name_key
from posttrain.preferences.store.records import Assignment, NewItem, Submission
from posttrain.preferences.store.schema import annotators

_numbers = count(1)


def new_items(num_items: int, start: int = 0, **fields: Any) -> list[NewItem]:
    return [
        NewItem(f"q/{number}", f"What is {number}?", ("one", "two", "three"), **fields)
        for number in range(start, start + num_items)
    ]


def fill(store: Store, num_items: int, people: tuple[str, ...] = ("anna",), **fields: Any) -> list[int]:
    """A store with items 1, 2, ... and these people; the people's numbers."""
    add_items(store, new_items(num_items, **fields))
    return [add_person(store, name) for name in people]


def add_person(store: Store, name: str, seed: int = 7) -> int:
    with store.writing() as connection:
        row = {
            "name": name,
            "name_key": name_key(name),
            "role": "annotator",
            "created_at": 0.0,
            "shuffle_seed": seed,
        }
        key = connection.execute(insert(annotators).values(row)).inserted_primary_key
        assert key is not None
        return int(key[0])


def judgement(item_id: int, annotator_id: int, **fields: Any) -> Submission:
    """A ranking of three responses, with a submission id of its own."""
    values: dict[str, Any] = {
        "submission_id": f"test-{next(_numbers)}",
        "item_id": item_id,
        "annotator_id": annotator_id,
        "kind": "ranking",
        "order_shown": (2, 0, 1),
        "ranks": (0, 1, 1),
    }
    return Submission(**{**values, **fields})


def skip(item_id: int, annotator_id: int, **fields: Any) -> Submission:
    return judgement(item_id, annotator_id, kind="skip", ranks=None, **fields)


def item_of(assignment: Assignment | None) -> int | None:
    return None if assignment is None else assignment.item.item_id
