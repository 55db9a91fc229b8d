"""Items into the store and out of it, exactly."""

from __future__ import annotations

import dataclasses

import pytest
from tests.preferences.store.examples import new_items

from posttrain.errors import DataError
from posttrain.preferences.store.failures import UnknownItem
from posttrain.preferences.store.items import (
    Added,
    add_items,
    get_item,
    item_number,
    iterate_items,
    read_items,
)
from posttrain.preferences.store.records import NewItem
from posttrain.types import Message

HOSTILE = "NUL \x00, half a pair \ud800, \u202ebidi\u202c, <script>, 漢字 ü, \r\n, \\u0000, " + "x" * 5000
NAN = float("nan")


def test_everything_comes_back_as_it_was(store):
    item = NewItem(
        "q/1",
        (Message(role="system", content=HOSTILE), Message(role="user", content="?")),
        (HOSTILE, "", "c"),
        ("eos", "length", "stop"),
        ("old", "new", "new"),
        {"answer": 7, "deep": {"list": [1.5, None, HOSTILE]}, HOSTILE: True},
        gold_ranks=(1, 0, 1),
        overlap=3,
    )
    assert add_items(store, [item], source="somewhere") == Added(1, 0)
    got = get_item(store, 1)
    for name in (
        "external_id",
        "prompt",
        "responses",
        "finish_reasons",
        "models",
        "columns",
        "gold_ranks",
        "overlap",
    ):
        assert getattr(got, name) == getattr(item, name), name
    assert (got.priority, got.queue, got.is_open, got.num_judges) == (0.0, "", True, 0)


def test_what_is_not_known_stays_unknown(store):
    add_items(store, [NewItem("q", "text", ("a", "b"))])
    got = get_item(store, 1)
    assert (got.finish_reasons, got.models, got.gold_ranks, got.columns) == ((), (), None, {})
    assert (got.overlap, got.own_overlap) == (1, None)  # the store's


def test_items_are_numbered_in_order_and_read_in_order(store):
    items = new_items(1203)
    assert add_items(store, items) == Added(1203, 0)
    assert [item.external_id for item in iterate_items(store)] == [item.external_id for item in items]
    assert item_number(store, "q/700") == 701
    assert item_number(store, "nobody") is None
    with store.reading() as connection:
        assert sorted(read_items(connection, [5, 3, 99999])) == [3, 5]


def test_the_same_again_changes_nothing(store):
    assert add_items(store, [*new_items(3), *new_items(2)]) == Added(3, 2)
    assert add_items(store, new_items(5)) == Added(2, 3)
    assert len(list(iterate_items(store))) == 5
    assert add_items(store, []) == Added(0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other"},
        {"responses": ("one", "two", "four")},
        {"responses": ("two", "one", "three")},
        {"columns": {"a": 1}},
        {"models": ("a", "b", "c")},
        {"gold_ranks": (0, 1, 2)},
    ],
)
def test_the_same_name_with_other_content_is_refused_and_nothing_is_added(store, change):
    add_items(store, new_items(1))
    other = dataclasses.replace(new_items(1)[0], **change)
    with pytest.raises(DataError, match="'q/0' is there already with other content"):
        add_items(store, [*new_items(700, start=1), other])
    assert len(list(iterate_items(store))) == 1


def test_columns_are_the_same_in_any_order(store):
    add_items(store, [NewItem("q", "p", ("a", "b"), columns={"x": 1, "y": 2})])
    assert add_items(store, [NewItem("q", "p", ("a", "b"), columns={"y": 2, "x": 1})]) == Added(0, 1)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (NewItem("q", "p", ("a",)), "has 1 responses; people rank 2 to 8"),
        (NewItem("q", "p", ("a",) * 9), "has 9 responses"),
        (NewItem("q", "p", ("a",) * 8), "all have the same text"),
        (NewItem("q", "p", ("a", "b"), ("eos", "done")), "finish reason 'done'; there are eos, stop, length"),
        (NewItem("", "p", ("a", "b")), "needs a name"),
        (NewItem("q\x00", "p", ("a", "b")), "needs a name"),
        (NewItem("q\ud800", "p", ("a", "b")), "needs a name"),
        (NewItem("q", "p", ("a", "b"), ("eos",)), "1 finish reasons for 2 responses"),
        (NewItem("q", "p", ("a", "b"), models=("m", "\x00")), "names a model"),
        (
            NewItem("q", "p", ("a", "b"), gold_ranks=(0, 2)),
            "known answer that is no ranking: ranks count from 0",
        ),
        (NewItem("q", "p", ("a", "b"), gold_ranks=(0,)), "there are 1 ranks for 2 responses"),
        (NewItem("q", "p", ("a", "b"), overlap=0), "wants 0 annotators"),
        (NewItem("q", "p", ("a", "b"), columns={"x": NAN}), "JSON cannot say"),
        (NewItem("q", "p", ("a", "b"), columns={"x": object()}), "JSON cannot say"),
    ],
)
def test_what_cannot_be_stored_is_named_before_anything_is_stored(store, item, reason):
    with pytest.raises(DataError, match=reason):
        add_items(store, [NewItem("fine", "p", ("a", "b")), item])
    assert list(iterate_items(store)) == []


def test_an_unknown_item_is_said(store):
    with pytest.raises(UnknownItem, match="no item 4"):
        get_item(store, 4)
