"""How far along the queue a person has done everything, kept between their visits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from posttrain.preferences.store.open_items import START, Place
from posttrain.preferences.store.schema import queue_cursors
from posttrain.preferences.store.statements import insert_or_update


@dataclass(frozen=True, slots=True)
class Cursor:
    """All open items up to `passed` are done by the person; `num_handed_out` counts the items they were given."""

    passed: Place
    num_handed_out: int


def read_cursor(connection: Connection, annotator_id: int, queue_version: int) -> Cursor:
    """The person's cursor; from the start where there is none, or where it is of another version of the queue."""
    row = connection.execute(select(queue_cursors).filter_by(annotator_id=annotator_id)).one_or_none()
    if row is None:
        return Cursor(START, 0)
    is_valid = row.queue_version == queue_version
    return Cursor(Place(row.queue_key, row.item_id) if is_valid else START, row.num_handed_out)


def write_cursor(connection: Connection, annotator_id: int, cursor: Cursor, queue_version: int) -> None:
    """Keep it. `queue_version` is the one that was read before the walk."""
    row = {
        "annotator_id": annotator_id,
        "queue_key": cursor.passed.queue_key,
        "item_id": cursor.passed.item_id,
        "queue_version": queue_version,
        "num_handed_out": cursor.num_handed_out,
    }
    insert_or_update(connection, queue_cursors, row)
