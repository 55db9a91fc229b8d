"""Items with what people said of them, a few hundred in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from posttrain.preferences.store.items import read_items
from posttrain.preferences.store.judgements import judgement_of
from posttrain.preferences.store.records import Item, Judgement
from posttrain.preferences.store.schema import annotators, current_judgements, judgements

_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Said:
    """One person's current judgement of an item, and those that it corrected, oldest first."""

    annotator: str
    judgement: Judgement
    earlier: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """An item and what everybody says of it now, in the order in which they said it."""

    item: Item
    said: tuple[Said, ...]


def judged_items(connection: Connection) -> Iterator[JudgedItem]:
    """Every item that somebody has judged or skipped, in the order of import, as the transaction sees them."""
    names = {
        row.annotator_id: row.name
        for row in connection.execute(select(annotators.c.annotator_id, annotators.c.name))
    }
    last = 0
    while True:
        numbers = connection.scalars(
            select(current_judgements.c.item_id)
            .where(current_judgements.c.item_id > last)
            .group_by(current_judgements.c.item_id)
            .order_by(current_judgements.c.item_id)
            .limit(_AT_ONCE)
        ).all()
        if not numbers:
            return
        items = read_items(connection, numbers)
        written: dict[int, list[Judgement]] = {number: [] for number in numbers}
        statement = (
            select(judgements)
            .where(judgements.c.item_id.in_(numbers))
            .order_by(judgements.c.item_id, judgements.c.judgement_id)
        )
        for row in connection.execute(statement):
            written[row.item_id].append(judgement_of(row))
        for number in numbers:
            yield JudgedItem(items[number], _by_person(written[number], names))
        last = numbers[-1]


def _by_person(written: list[Judgement], names: dict[int, str]) -> tuple[Said, ...]:
    of_person: dict[int, list[Judgement]] = {}
    for judgement in written:
        of_person.setdefault(judgement.annotator_id, []).append(judgement)
    # A person's judgements of an item replace each other in turn: the newest is the current one.
    said = [Said(names[annotator], own[-1], tuple(own[:-1])) for annotator, own in of_person.items()]
    return tuple(sorted(said, key=lambda own: own.judgement.judgement_id))
