"""An item as one person sees it: what they have of it so far."""

from __future__ import annotations

from sqlalchemy import select

from posttrain.errors import DataError
from posttrain.preferences.store.card_order import order_shown
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.drafts import read_draft
from posttrain.preferences.store.failures import NotAssigned
from posttrain.preferences.store.items import read_item
from posttrain.preferences.store.judgements import current_judgement
from posttrain.preferences.store.own_numbers import own_numbers
from posttrain.preferences.store.records import Assignment
from posttrain.preferences.store.schema import annotators, leases


def assignment_of(store: Store, annotator_id: int, item_id: int, *, needs_lease: bool = True) -> Assignment:
    """The item as this person sees it, where they were given it or have judged it; nothing changes.

    With `needs_lease=False` also an item that they were never given (reviewers). UnknownItem and NotAssigned.
    """
    with store.reading() as connection:
        seed = connection.scalar(select(annotators.c.shuffle_seed).filter_by(annotator_id=annotator_id))
        if seed is None:
            raise DataError(f"there is no annotator {annotator_id} in this store")
        item = read_item(connection, item_id)
        expires_at = connection.scalar(
            select(leases.c.expires_at).filter_by(item_id=item_id, annotator_id=annotator_id)
        )
        found = Assignment(
            item=item,
            order_shown=order_shown(seed, item_id, item.num_responses),
            lease_expires_at=expires_at,
            draft=read_draft(connection, annotator_id, item_id),
            earlier=current_judgement(connection, annotator_id, item_id),
            own_number=own_numbers(connection, annotator_id, [item_id]).get(item_id),
        )
    if needs_lease and found.lease_expires_at is None and found.earlier is None:
        raise NotAssigned(f"item {item_id} was never handed to annotator {annotator_id}")
    return found
