"""The places at an item: as many as it wants judges, taken by judgements and by unexpired leases of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from posttrain.preferences.store.schema import leases, queue_entries
from posttrain.preferences.store.statements import locking


@dataclass(frozen=True, slots=True)
class ItemPlaces:
    """Finds places for one person, in one transaction at one moment; `overlap` is the store's."""

    connection: Connection
    annotator_id: int
    overlap: int
    now: float

    def is_left(self, item_id: int) -> bool:
        """Whether the item has a place for the person; it is locked afterwards. Known answers have one for each."""
        entry = self.connection.execute(locking(select(queue_entries).filter_by(item_id=item_id))).one()
        return self._is_left(entry)

    def take_first(self, item_ids: Sequence[int], *, wait: bool) -> int | None:
        """The first in the queue of these items that has a place, locked; without `wait` locked ones are passed by."""
        candidates = list(item_ids)
        while candidates:
            entries = queue_entries.c
            entry = self.connection.execute(
                locking(
                    select(queue_entries)
                    .where(entries.item_id.in_(candidates), entries.is_open)
                    .order_by(entries.queue_key, entries.item_id)
                    .limit(1),
                    skip_locked=not wait,
                )
            ).one_or_none()
            if entry is None:
                return None
            item_id: int = entry.item_id
            if self._is_left(entry):
                return item_id
            candidates.remove(item_id)
        return None

    def _is_left(self, entry: Row[Any]) -> bool:
        if entry.is_gold:
            return True
        # A statement of its own, after the lock: it sees the leases of those who held the lock before.
        taken = self.connection.scalar(
            select(func.count())
            .select_from(leases)
            .where(
                leases.c.item_id == entry.item_id,
                leases.c.expires_at > self.now,
                leases.c.annotator_id != self.annotator_id,
            )
        )
        wanted = self.overlap if entry.overlap is None else entry.overlap
        return bool(entry.num_judges + (taken or 0) < wanted)
