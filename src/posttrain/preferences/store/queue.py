"""Who gets which item next: leases that expire, `overlap` different people for each item, known answers between.

Rows are locked in one order, the person and then the item, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, exists, select

from posttrain.errors import DataError
from posttrain.preferences.store.card_order import order_shown
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.drafts import read_draft
from posttrain.preferences.store.failures import NotAssigned
from posttrain.preferences.store.gold import is_gold_due
from posttrain.preferences.store.item_places import ItemPlaces
from posttrain.preferences.store.items import read_item
from posttrain.preferences.store.open_items import OpenItems
from posttrain.preferences.store.queue_cursor import Cursor, read_cursor, write_cursor
from posttrain.preferences.store.records import Assignment
from posttrain.preferences.store.schema import annotators, current_judgements, leases, queue_entries
from posttrain.preferences.store.settings import read_queue_settings
from posttrain.preferences.store.statements import insert_or_update, locking


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
    places = ItemPlaces(connection, annotator_id, settings.overlap, now)
    cursor = read_cursor(connection, annotator_id, version)
    num_handed_out = cursor.num_handed_out
    item_id = _held(places, besides)
    if item_id is None:
        walk = OpenItems(connection, annotator_id, cursor.passed, settings.overlap, now)
        if is_gold_due(seed, cursor.num_handed_out, settings.gold_every):
            item_id = _gold(connection, annotator_id, besides)
        if item_id is None:
            item_id = _first_free(places, walk, besides)
        num_handed_out += item_id is not None
        write_cursor(connection, annotator_id, Cursor(walk.passed, num_handed_out), version)
    if item_id is None:
        return None
    expires_at = now + settings.lease_seconds
    own_number = _lease(connection, annotator_id, item_id, now, expires_at, num_handed_out)
    item = read_item(connection, item_id, settings.overlap)
    return Assignment(
        item=item,
        order_shown=order_shown(seed, item_id, item.num_responses),
        lease_expires_at=expires_at,
        draft=read_draft(connection, annotator_id, item_id),
        earlier=None,  # who has judged an item holds no lease of it
        own_number=own_number,
    )


def renew_lease(store: Store, annotator_id: int, item_id: int) -> float:
    """Until when the item is now this person's, who is still working at it.

    NotAssigned where they were never given it or have judged it, or where it expired and others took the place; what
    they submit is kept all the same.
    """

    def renew(connection: Connection) -> float:
        connection.execute(locking(select(annotators.c.annotator_id).filter_by(annotator_id=annotator_id)))
        settings, _ = read_queue_settings(connection)
        now = store.now()
        held = select(leases).filter_by(annotator_id=annotator_id, item_id=item_id)
        lease = connection.execute(held).one_or_none()
        if lease is None:
            raise NotAssigned(f"annotator {annotator_id} holds no lease of item {item_id}")
        places = ItemPlaces(connection, annotator_id, settings.overlap, now)
        if lease.expires_at <= now and not places.is_left(item_id, lease.expires_at):
            raise NotAssigned(f"the lease of item {item_id} has expired, and somebody else has it now")
        _lease(connection, annotator_id, item_id, now, now + settings.lease_seconds, lease.own_number)
        return now + settings.lease_seconds

    return store.write(renew)


def release_lease(store: Store, annotator_id: int, item_id: int) -> None:
    """Give the item back to the queue without a judgement; the draft stays. Nothing where it is not held."""
    with store.writing() as connection:
        connection.execute(delete(leases).filter_by(annotator_id=annotator_id, item_id=item_id))


def _held(places: ItemPlaces, besides: Collection[int]) -> int | None:
    """What the person was given and has not judged: theirs, or expired and still with a place for them."""
    rows = places.connection.execute(
        select(leases.c.item_id, leases.c.expires_at)
        .where(leases.c.annotator_id == places.annotator_id, leases.c.item_id.not_in(besides))
        .order_by(leases.c.leased_at, leases.c.item_id)
    ).all()
    for row in rows:
        if row.expires_at > places.now or places.is_left(row.item_id, row.expires_at):
            item_id: int = row.item_id
            return item_id
    return None


def _gold(connection: Connection, annotator_id: int, besides: Collection[int]) -> int | None:
    """The first with a known answer that the person was never given; what they lost stays lost, as other items do."""
    entries = queue_entries.c
    is_done = exists().where(
        current_judgements.c.annotator_id == annotator_id,
        current_judgements.c.item_id == entries.item_id,
    )
    is_given = exists().where(leases.c.annotator_id == annotator_id, leases.c.item_id == entries.item_id)
    return connection.scalar(
        select(entries.item_id)
        .where(entries.is_gold, ~is_done, ~is_given, entries.item_id.not_in(besides))
        .order_by(entries.queue_key, entries.item_id)
        .limit(1)
    )


def _first_free(places: ItemPlaces, walk: OpenItems, besides: Collection[int]) -> int | None:
    busy: list[int] = []
    for page in walk.pages():
        free = [one.place.item_id for one in page if one.is_free and one.place.item_id not in besides]
        taken = places.take_first(free, wait=False)
        if taken is not None:
            return taken
        busy += free
    # Somebody was changing each of these. Wait for them, rather than say that there is nothing to do.
    return places.take_first(busy, wait=True)


def _lease(
    connection: Connection, annotator_id: int, item_id: int, now: float, expires_at: float, own_number: int
) -> int:
    """Make the lease or prolong it; the person's number of the item, which stays that of the first time."""
    key = {"item_id": item_id, "annotator_id": annotator_id}
    row = {**key, "leased_at": now, "expires_at": expires_at, "own_number": own_number}
    insert_or_update(connection, leases, row, keep=("leased_at", "own_number"))
    kept: int = connection.scalars(select(leases.c.own_number).filter_by(**key)).one()
    return kept
