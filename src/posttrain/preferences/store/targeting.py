"""Changing which items come first, why, and how many people are to judge them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from posttrain.errors import DataError
from posttrain.preferences.store import postgresql
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import UnknownItem
from posttrain.preferences.store.schema import queue_entries
from posttrain.preferences.store.settings import open_and_close, read_queue_settings


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an item is to stand: higher priority earlier (0 as imported); None leaves the queue or overlap as it is."""

    item_id: int
    priority: float
    queue: str | None = None
    overlap: int | None = None


def place_in_queue(store: Store, placements: Iterable[Placement]) -> None:
    """Give the items their places, all or none; leases and judgements stay. UnknownItem, DataError.

    An item whose overlap is raised above its judges opens again.
    """
    wanted = sorted(placements, key=lambda placement: placement.item_id)
    for placement in wanted:
        if not abs(placement.priority) < 1e300:
            raise DataError(f"item {placement.item_id} cannot have the priority {placement.priority}")
        if placement.overlap is not None and placement.overlap < 1:
            raise DataError(f"item {placement.item_id} cannot have an overlap of {placement.overlap}")

    def place(connection: Connection) -> None:
        # Not beside an import, which relies on where the last items stand.
        postgresql.lock(connection, postgresql.LOCK_OF_IMPORTS)
        for placement in wanted:
            _place(connection, placement)
        open_and_close(connection, read_queue_settings(connection)[0].overlap)

    store.write(place)


def clear_queue(store: Store, queue: str) -> int:
    """How many items stood in that targeted queue; they are back at priority 0. Their overlap stays."""

    def clear(connection: Connection) -> int:
        postgresql.lock(connection, postgresql.LOCK_OF_IMPORTS)
        cleared = connection.execute(
            update(queue_entries).where(queue_entries.c.queue == queue).values(queue="", queue_key=0.0)
        )
        open_and_close(connection, read_queue_settings(connection)[0].overlap)
        return cleared.rowcount

    return store.write(clear)


def _place(connection: Connection, placement: Placement) -> None:
    changes: dict[str, Any] = {"queue_key": 0.0 - placement.priority}
    if placement.queue is not None:
        changes["queue"] = placement.queue
    if placement.overlap is not None:
        changes["overlap"] = placement.overlap
    changed = connection.execute(
        update(queue_entries).where(queue_entries.c.item_id == placement.item_id).values(**changes)
    )
    if changed.rowcount == 0:
        raise UnknownItem(f"there is no item {placement.item_id} in this store")
