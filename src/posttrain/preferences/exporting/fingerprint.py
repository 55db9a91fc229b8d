"""A digest of all that is said in a store: another one whenever a judgement came, and for another store."""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import items, judgements


def fingerprint_of_judgements(store: Store) -> str:
    """16 hexadecimal digits over every judgement, replaced ones included, and the content that it is of.

    Judgements never change, so their names stand for what they say; new items without a judgement change nothing.
    """
    digest = hashlib.sha256()
    statement = (
        select(judgements.c.submission_id, items.c.content_hash)
        .join(items, items.c.item_id == judgements.c.item_id)
        .order_by(judgements.c.judgement_id)
    )
    with store.reading() as connection:
        for row in connection.execute(statement).yield_per(1000):
            digest.update(f"{row.submission_id}\0{row.content_hash}\0".encode())
    return digest.hexdigest()[:16]
