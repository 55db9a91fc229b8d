"""How a person counts the items they were given: 1, 2, 3 ... in the order in which these came to them.

The lease holds the number until the judgement does, so that an item is called the same whenever it comes back.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from posttrain.preferences.store.schema import current_judgements, leases


def own_numbers(connection: Connection, annotator_id: int, item_ids: Collection[int]) -> dict[int, int]:
    """Item -> the person's number of it; items that the queue never gave them are left out."""
    found: dict[int, int] = {}
    for table in (leases, current_judgements):
        statement = select(table.c.item_id, table.c.own_number).where(
            table.c.annotator_id == annotator_id,
            table.c.item_id.in_(item_ids),
            table.c.own_number.is_not(None),
        )
        found |= {row.item_id: row.own_number for row in connection.execute(statement)}
    return found
