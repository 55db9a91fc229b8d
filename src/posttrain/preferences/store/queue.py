"""Who gets which item next: leases that expire, `overlap` different people for each item, known answers between.

An item's places are taken by the people who judged it (a skip is no judgement) and by unexpired leases of others.
Rows are locked in one order, the person and then the item, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, Exists, delete, exists, func, insert, select, update

from posttrain.errors import DataError
from posttrain.preferences.store.assignments import read_assignment
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import NotAssigned
from posttrain.preferences.store.gold import is_gold_due
from posttrain.preferences.store.open_items import OpenItems, Place
from posttrain.preferences.store.queue_cursor import Cursor, read_cursor, write_cursor
from posttrain.preferences.store.records import Assignment
from posttrain.preferences.store.schema import annotators, current_judgements, leases, queue_entries
from posttrain.preferences.store.settings import QueueSettings, read_queue_settings
from posttrain.preferences.store.statements import locking


def next_item(store: Store, annotator_id: int, *, besides: Collection[int] = ()) -> Assignment | None:
    """The item this person works at next, leased to them; None when there is nothing for them now.

    What they hold already comes first, the longest held before others. Then, where one is due, an item with a known
    answer that they have not judged. Then the first open item, by priority and order of import, that they have not
    judged or skipped and that has a place left. Never more people at an item than it wants, as long as no lease
    expires under somebody who submits after all. `besides` are items they have open already: a page asks for the one
    after these, to have it there when it is wanted.
    """
    return store.write(lambda connection: hand_out(connection, annotator_id, store.now(), besides))


def hand_out(
    connection: Connection, annotator_id: int, now: float, besides: Collection[int] = ()
) -> Assignment | None:
    """As `next_item`, in the caller's transaction."""
    seed = connection.scalar(locking(select(annotators.c.shuffle_seed).filter_by(annotator_id=annotator_id)))
    if seed is None:
        raise DataError(f"there is no annotator {annotator_id} in this store")
    # The version is read before the queue is: what appears in the queue after that makes the cursor void.
    settings, version = read_queue_settings(connection)
    item_id = _held(connection, annotator_id, settings, now, besides)
    if item_id is None:
        cursor = read_cursor(connection, annotator_id, version)
        walk = OpenItems(connection, annotator_id, cursor.passed, settings.overlap, now)
        if is_gold_due(seed, cursor.num_handed_out, settings.gold_every):
            item_id = _gold(connection, annotator_id, besides)
        if item_id is None:
            item_id = _first_free(connection, annotator_id, walk, settings, now, besides)
        num_handed_out = cursor.num_handed_out + (item_id is not None)
        write_cursor(connection, annotator_id, Cursor(walk.passed, num_handed_out), version)
    if item_id is None:
        return None
    _lease(connection, annotator_id, item_id, now, now + settings.lease_seconds)
    return read_assignment(connection, annotator_id, item_id)


def renew_lease(store: Store, annotator_id: int, item_id: int) -> float:
    """Until when the item is now this person's, who is still working at it.

    NotAssigned where they were never given it or have judged it, or where it expired and others took the place; what
    they submit is kept all the same.
    """

    def renew(connection: Connection) -> float:
        connection.execute(locking(select(annotators.c.annotator_id).filter_by(annotator_id=annotator_id)))
        settings, _ = read_queue_settings(connection)
        now = store.now()
        held = select(leases.c.expires_at).filter_by(annotator_id=annotator_id, item_id=item_id)
        expires_at = connection.scalar(held)
        if expires_at is None:
            raise NotAssigned(f"annotator {annotator_id} holds no lease of item {item_id}")
        if expires_at <= now and not _has_place(connection, annotator_id, item_id, settings, now):
            raise NotAssigned(f"the lease of item {item_id} has expired, and somebody else has it now")
        _lease(connection, annotator_id, item_id, now, now + settings.lease_seconds)
        return now + settings.lease_seconds

    return store.write(renew)


def release_lease(store: Store, annotator_id: int, item_id: int) -> None:
    """Give the item back to the queue without a judgement; the draft stays. Nothing where it is not held."""
    with store.writing() as connection:
        connection.execute(delete(leases).filter_by(annotator_id=annotator_id, item_id=item_id))


def _held(
    connection: Connection, annotator_id: int, settings: QueueSettings, now: float, besides: Collection[int]
) -> int | None:
    """What the person was given and has not judged: theirs, or expired and still with a place for them."""
    rows = connection.execute(
        select(leases.c.item_id, leases.c.expires_at)
        .where(leases.c.annotator_id == annotator_id, leases.c.item_id.not_in(besides))
        .order_by(leases.c.leased_at, leases.c.item_id)
    ).all()
    for row in rows:
        if row.expires_at > now or _has_place(connection, annotator_id, row.item_id, settings, now):
            item_id: int = row.item_id
            return item_id
    return None


def _gold(connection: Connection, annotator_id: int, besides: Collection[int]) -> int | None:
    entries = queue_entries.c
    return connection.scalar(
        select(entries.item_id)
        .where(entries.is_gold, ~_is_done(annotator_id), entries.item_id.not_in(besides))
        .order_by(entries.queue_key, entries.item_id)
        .limit(1)
    )


def _first_free(
    connection: Connection,
    annotator_id: int,
    walk: OpenItems,
    settings: QueueSettings,
    now: float,
    besides: Collection[int],
) -> int | None:
    busy: list[Place] = []
    for page in walk.pages():
        free = [item.place for item in page if item.is_free and item.place.item_id not in besides]
        taken = _take_one(connection, annotator_id, free, settings, now, wait=False)
        if taken is not None:
            return taken
        busy += free
    # Somebody was changing each of these. Wait for them, rather than say that there is nothing to do.
    return _take_one(connection, annotator_id, busy, settings, now, wait=True)


def _take_one(
    connection: Connection,
    annotator_id: int,
    places: Sequence[Place],
    settings: QueueSettings,
    now: float,
    *,
    wait: bool,
) -> int | None:
    """The first of these items that still has a place for the person, locked; without `wait` locked ones are left."""
    left = [place.item_id for place in places]
    while left:
        entries = queue_entries.c
        item_id = connection.scalar(
            locking(
                select(entries.item_id)
                .where(entries.item_id.in_(left), entries.is_open)
                .order_by(entries.queue_key, entries.item_id)
                .limit(1),
                skip_locked=not wait,
            )
        )
        if item_id is None:
            return None
        if _has_place(connection, annotator_id, item_id, settings, now):
            return int(item_id)
        left.remove(item_id)
    return None


def _has_place(
    connection: Connection, annotator_id: int, item_id: int, settings: QueueSettings, now: float
) -> bool:
    """Whether the item wants one more judge than it has and will have; it is locked afterwards."""
    entry = connection.execute(locking(select(queue_entries).filter_by(item_id=item_id))).one()
    if entry.is_gold:
        return True
    # A statement of its own, after the lock: it sees the leases of those who held the lock before.
    taken = connection.scalar(
        select(func.count())
        .select_from(leases)
        .where(
            leases.c.item_id == item_id,
            leases.c.expires_at > now,
            leases.c.annotator_id != annotator_id,
        )
    )
    wanted = settings.overlap if entry.overlap is None else entry.overlap
    return bool(entry.num_judges + (taken or 0) < wanted)


def _is_done(annotator_id: int) -> Exists:
    return exists().where(
        current_judgements.c.annotator_id == annotator_id,
        current_judgements.c.item_id == queue_entries.c.item_id,
    )


def _lease(connection: Connection, annotator_id: int, item_id: int, now: float, expires_at: float) -> None:
    mine = (leases.c.annotator_id == annotator_id, leases.c.item_id == item_id)
    renewed = connection.execute(update(leases).where(*mine).values(expires_at=expires_at))
    if renewed.rowcount == 0:
        row = {"item_id": item_id, "annotator_id": annotator_id, "leased_at": now, "expires_at": expires_at}
        connection.execute(insert(leases).values(row))
