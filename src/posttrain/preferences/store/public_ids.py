"""Numbers under which annotators know items: random, so that they tell nothing of the order of import.

Items with a known answer are often imported together and last; by `item_id` they would be known at a glance.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, select

from posttrain.preferences.store.chunks import in_chunks
from posttrain.preferences.store.failures import UnknownItem
from posttrain.preferences.store.schema import items

BITS: Final = 53
"""JavaScript holds whole numbers of so many bits exactly."""
_AT_ONCE: Final = 500


def new_public_ids(connection: Connection, how_many: int) -> list[int]:
    """So many numbers from 1 to 2^53 - 1 that no item has; the caller lets nobody add items meanwhile."""
    found: set[int] = set()
    while len(found) < how_many:
        drawn = {1 + secrets.randbelow(2**BITS - 1) for _ in range(how_many - len(found))}
        found |= drawn - set(items_of_public_ids(connection, drawn))
    return list(found)


def items_of_public_ids(connection: Connection, public_ids: Iterable[int]) -> dict[int, int]:
    """Public number -> item number; those that no item has are left out."""
    found: dict[int, int] = {}
    for chunk in in_chunks(public_ids, _AT_ONCE):
        statement = select(items.c.public_id, items.c.item_id).where(items.c.public_id.in_(chunk))
        found |= {row.public_id: row.item_id for row in connection.execute(statement)}
    return found


def public_ids_of(connection: Connection, item_ids: Iterable[int]) -> dict[int, int]:
    """Item number -> public number; those that there are not are left out."""
    found: dict[int, int] = {}
    for chunk in in_chunks(item_ids, _AT_ONCE):
        statement = select(items.c.item_id, items.c.public_id).where(items.c.item_id.in_(chunk))
        found |= {row.item_id: row.public_id for row in connection.execute(statement)}
    return found


def item_of_public_id(connection: Connection, public_id: int) -> int:
    """The item number. UnknownItem where no item has that public number."""
    # Larger ones fit in no column.
    number = items_of_public_ids(connection, [public_id] if public_id < 2**BITS else []).get(public_id)
    if number is None:
        raise UnknownItem(f"no item of this store has the public number {public_id}")
    return number
