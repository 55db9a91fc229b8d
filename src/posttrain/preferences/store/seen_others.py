"""Who has seen what others said of an item: what they say of it from then on is no independent judgement."""

from __future__ import annotations

from sqlalchemy import Connection, select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import seen_others
from posttrain.preferences.store.statements import insert_or_update


def note_seen_others(store: Store, annotator_id: int, item_id: int) -> None:
    """Remember from now on that this person was shown the judgements of others, or the known answer, of the item."""
    with store.reading() as connection:
        if has_seen_others(connection, annotator_id, item_id):
            return  # pages are opened often, and writers take turns
    row = {"item_id": item_id, "annotator_id": annotator_id, "seen_at": store.now()}
    store.write(lambda connection: insert_or_update(connection, seen_others, row))


def has_seen_others(connection: Connection, annotator_id: int, item_id: int) -> bool:
    """Whether that was noted before."""
    seen = select(seen_others.c.item_id).filter_by(annotator_id=annotator_id, item_id=item_id)
    return connection.scalar(seen) is not None
