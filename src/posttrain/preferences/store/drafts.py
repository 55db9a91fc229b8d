"""What people have entered and not yet submitted: saved as they go, gone with the judgement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import InvalidSubmission, StaleDraft, StaleJudgement, UnknownItem
from posttrain.preferences.store.records import Draft
from posttrain.preferences.store.schema import annotators, current_judgements, drafts, items
from posttrain.preferences.store.statements import insert_or_update, locking


def save_draft(
    store: Store, annotator_id: int, item_id: int, content: Any, revision: int, *, replaces: int | None = None
) -> Draft:
    """Keep the draft in place of the one with a lower or the same revision. StaleDraft where a newer one is kept.

    `content` is anything that JSON can say; the page counts `revision` up with every change, so that a request that
    was late does not bring back what was changed since. `replaces` is the judgement of this person that the draft is
    to correct, None for their first one of the item: StaleJudgement where another is current, so that a draft that
    arrives after its own judgement does not stay. UnknownItem.
    """

    def save(connection: Connection) -> Draft:
        connection.execute(locking(select(annotators.c.annotator_id).filter_by(annotator_id=annotator_id)))
        if connection.scalar(select(items.c.item_id).filter_by(item_id=item_id)) is None:
            raise UnknownItem(f"there is no item {item_id} in this store")
        _check_replaces(connection, annotator_id, item_id, replaces)
        before = read_draft(connection, annotator_id, item_id)
        if before is not None and before.revision > revision:
            raise StaleDraft(
                f"the draft of item {item_id} was not stored: revision {before.revision} is stored already, and this "
                f"is {revision}. It was changed elsewhere; reload the page.",
                before.revision,
            )
        draft = Draft(content=content, revision=revision, updated_at=store.now())
        row = {"item_id": item_id, "annotator_id": annotator_id, "content": content}
        insert_or_update(connection, drafts, {**row, "revision": revision, "updated_at": draft.updated_at})
        return draft

    if not 0 <= revision < 2**53:
        raise InvalidSubmission(f"the draft of item {item_id} was not stored: its revision is {revision}")
    return store.write(save)


def _check_replaces(connection: Connection, annotator_id: int, item_id: int, replaces: int | None) -> None:
    current: int | None = connection.scalar(
        select(current_judgements.c.judgement_id).filter_by(annotator_id=annotator_id, item_id=item_id)
    )
    if replaces != current:
        raise StaleJudgement(
            f"the draft of item {item_id} was not stored: it belongs to judgement {replaces}, and this person's "
            f"current one of the item is {current}.",
            current,
        )


def draft_of(store: Store, annotator_id: int, item_id: int) -> Draft | None:
    """The person's draft of the item, None where there is none."""
    with store.reading() as connection:
        return read_draft(connection, annotator_id, item_id)


def read_draft(connection: Connection, annotator_id: int, item_id: int) -> Draft | None:
    """As `draft_of`, in the caller's transaction."""
    row = connection.execute(
        select(drafts).filter_by(annotator_id=annotator_id, item_id=item_id)
    ).one_or_none()
    return None if row is None else Draft(row.content, row.revision, row.updated_at)
