"""What tells one store from another."""

from __future__ import annotations

import hashlib

from sqlalchemy import func, select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import schema_version


def store_mark(store: Store) -> str:
    """16 hexadecimal digits, drawn from the moment the store was made: the same for as long as it lives."""
    with store.reading() as connection:
        made_at = connection.scalar(select(func.min(schema_version.c.applied_at)))
    return hashlib.sha256(repr(made_at).encode()).hexdigest()[:16]
