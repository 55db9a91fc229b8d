"""The places at an item: as many as it wants judges, taken by judgements and by unexpired leases of others.

An item with a known answer is handed to everybody, so nobody takes it from anybody. But people must not find out that
it is one by letting its lease expire. So it is lost when an ordinary item would be: when others worked in the store
since, who would have been given it, as many as it had places left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select

from posttrain.preferences.store.schema import (
    annotators,
    current_judgements,
    judgements,
    leases,
    queue_entries,
)
from posttrain.preferences.store.statements import locking


@dataclass(frozen=True, slots=True)
class ItemPlaces:
    """Finds places for one person, in one transaction at one moment; `overlap` is the store's."""

    connection: Connection
    annotator_id: int
    overlap: int
    now: float

    def is_left(self, item_id: int, expired_at: float) -> bool:
        """Whether the item still has a place for the person, whose lease expired then; it is locked afterwards."""
        entry = self.connection.execute(locking(select(queue_entries).filter_by(item_id=item_id))).one()
        if entry.is_gold:
            return self._is_gold_left(entry, expired_at)
        return self._is_left(entry)

    def num_lost_gold(self) -> int:
        """Items with a known answer whose lease expired, and that the person is not given any more."""
        entries = queue_entries.c
        expired = (
            select(queue_entries, leases.c.expires_at)
            .join(leases, leases.c.item_id == entries.item_id)
            .where(
                entries.is_gold, leases.c.annotator_id == self.annotator_id, leases.c.expires_at <= self.now
            )
        )
        return sum(
            not self._is_gold_left(row, row.expires_at) for row in self.connection.execute(expired).all()
        )

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
        return bool(entry.num_judges + (taken or 0) < self._wanted(entry))

    def _wanted(self, entry: Row[Any]) -> int:
        return self.overlap if entry.overlap is None else int(entry.overlap)

    def _is_gold_left(self, entry: Row[Any], expired_at: float) -> bool:
        other, wanted = annotators.c.annotator_id, self._wanted(entry)
        lease, current = leases.c, current_judgements.c
        was_given = exists().where(lease.annotator_id == other, lease.leased_at > expired_at)
        # By the newest judgement of each, which an index finds: nothing is read through.
        newest = select(func.max(current.judgement_id)).where(current.annotator_id == other).scalar_subquery()
        has_judged = exists().where(
            judgements.c.judgement_id == newest, judgements.c.submitted_at > expired_at
        )
        had_a_place = exists().where(
            current.item_id == entry.item_id,
            current.annotator_id == other,
            current.kind != "skip",
            judgements.c.judgement_id == current.judgement_id,
            judgements.c.submitted_at <= expired_at,
        ) | exists().where(
            lease.item_id == entry.item_id,
            lease.annotator_id == other,
            lease.leased_at <= expired_at,
            lease.expires_at > self.now,
        )
        rows = self.connection.execute(
            select(had_a_place.label("had_a_place"), func.count().label("num"))
            .where(other != self.annotator_id, was_given | has_judged | had_a_place)
            .group_by("had_a_place")
        )
        counts = {bool(row.had_a_place): row.num for row in rows}
        # The person was given it, so that they had a place: at most one less than all were taken.
        return bool(min(counts.get(True, 0), wanted - 1) + counts.get(False, 0) < wanted)
