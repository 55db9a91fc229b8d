"""One judgement into the store: the transaction behind `judgements.submit`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from posttrain.errors import DataError
from posttrain.preferences.store import postgresql
from posttrain.preferences.store.failures import InvalidSubmission, NotAssigned, StaleJudgement, UnknownItem
from posttrain.preferences.store.judgement_checks import check_submission
from posttrain.preferences.store.own_numbers import own_numbers
from posttrain.preferences.store.records import Submission, Submitted
from posttrain.preferences.store.schema import (
    annotators,
    current_judgements,
    drafts,
    guidelines,
    judgements,
    leases,
    queue_entries,
    responses,
)
from posttrain.preferences.store.seen_others import has_seen_others
from posttrain.preferences.store.settings import read_queue_settings, renew_queue_version
from posttrain.preferences.store.statements import insert_or_update, locking


def append(connection: Connection, submission: Submission, now: float, *, needs_lease: bool) -> Submitted:
    """As `submit`, in the caller's transaction."""
    item_id, annotator_id = submission.item_id, submission.annotator_id
    # Always the person first, then the item: two transactions never wait for each other.
    if (
        connection.scalar(locking(select(annotators.c.annotator_id).filter_by(annotator_id=annotator_id)))
        is None
    ):
        raise DataError(f"there is no annotator {annotator_id} in this store")
    if (stored := _stored_before(connection, submission)) is not None:
        return Submitted(stored, is_new=False)
    entry = connection.execute(locking(select(queue_entries).filter_by(item_id=item_id))).one_or_none()
    if entry is None:
        raise UnknownItem(f"there is no item {item_id} in this store")
    num_responses = connection.scalar(
        select(func.count()).select_from(responses).where(responses.c.item_id == item_id)
    )
    check_submission(submission, num_responses or 0, needs_order=needs_lease)
    _check_guideline(connection, submission)
    earlier = connection.execute(
        select(current_judgements).filter_by(annotator_id=annotator_id, item_id=item_id)
    ).one_or_none()
    _check_replaces(submission, earlier)
    own_number = own_numbers(connection, annotator_id, [item_id]).get(item_id)
    if needs_lease and earlier is None:
        _check_assigned(connection, submission)

    judgement_id = _insert(connection, submission, num_responses or 0, now)
    insert_or_update(
        connection,
        current_judgements,
        {
            "annotator_id": annotator_id,
            "item_id": item_id,
            "judgement_id": judgement_id,
            "kind": submission.kind,
            "own_number": own_number,
        },
    )
    for table in (leases, drafts):
        connection.execute(delete(table).filter_by(annotator_id=annotator_id, item_id=item_id))
    counted_before = earlier is not None and earlier.kind != "skip"
    _count(connection, entry, (submission.kind != "skip") - counted_before)
    return Submitted(judgement_id, is_new=True)


def _stored_before(connection: Connection, submission: Submission) -> int | None:
    row = connection.execute(
        select(judgements.c.judgement_id, judgements.c.item_id, judgements.c.annotator_id).where(
            judgements.c.submission_id == submission.submission_id
        )
    ).one_or_none()
    if row is None:
        return None
    if (row.item_id, row.annotator_id) != (submission.item_id, submission.annotator_id):
        raise InvalidSubmission(
            f"the submission id {submission.submission_id!r} was used for another judgement already; "
            "make a new one for each judgement"
        )
    number: int = row.judgement_id
    return number


def _check_guideline(connection: Connection, submission: Submission) -> None:
    version = submission.guideline_version
    if version is None:
        return
    known = select(guidelines.c.version).where(guidelines.c.version == version)
    # Numbers that no column holds are not asked for.
    if not 0 < version < 2**31 or connection.scalar(known) is None:
        raise InvalidSubmission(f"there is no version {version} of the guidelines in this store")


def _check_replaces(submission: Submission, earlier: Row[Any] | None) -> None:
    current = None if earlier is None else earlier.judgement_id
    if submission.replaces == current:
        return
    if current is None:
        reason = f"judgement {submission.replaces} is to be replaced, and this person has none of the item"
    else:
        reason = f"this person's current judgement of it is {current}, entered meanwhile or before"
    raise StaleJudgement(
        f"the judgement of item {submission.item_id} was not stored: {reason}. Look at the current one, "
        "and submit again to replace it.",
        current,
    )


def _check_assigned(connection: Connection, submission: Submission) -> None:
    held = select(leases.c.item_id).filter_by(
        item_id=submission.item_id, annotator_id=submission.annotator_id
    )
    if connection.scalar(held) is None:
        raise NotAssigned(
            f"item {submission.item_id} was never handed to annotator {submission.annotator_id}; the queue says "
            "who judges what"
        )


def _insert(connection: Connection, submission: Submission, num_responses: int, now: float) -> int:
    # Numbers in the order of the commits: who has read up to one has missed none below it.
    postgresql.lock(connection, postgresql.LOCK_OF_JUDGEMENTS)
    inserted = connection.execute(
        insert(judgements).values(
            submission_id=submission.submission_id,
            item_id=submission.item_id,
            annotator_id=submission.annotator_id,
            kind=submission.kind,
            ranks=submission.ranks,
            unacceptable=submission.unacceptable or (False,) * num_responses,
            grades=submission.grades or (None,) * num_responses,
            tags=submission.tags or ((),) * num_responses,
            note=submission.note,
            is_flagged=submission.is_flagged,
            settles=submission.settles
            or has_seen_others(connection, submission.annotator_id, submission.item_id),
            order_shown=submission.order_shown,
            guideline_version=submission.guideline_version,
            seconds=submission.seconds,
            submitted_at=now if submission.submitted_at is None else submission.submitted_at,
            replaces=submission.replaces,
        )
    )
    key = inserted.inserted_primary_key
    assert key is not None
    return int(key[0])


def _count(connection: Connection, entry: Row[Any], change: int) -> None:
    """Add to the item's judges, and open or close it accordingly."""
    if change == 0:
        return
    num_judges = entry.num_judges + change
    wanted = entry.overlap
    if wanted is None:
        # Read after the item is locked: a change of the setting either is seen here or sees this count.
        wanted = read_queue_settings(connection)[0].overlap
    is_open = entry.is_gold or num_judges < wanted
    connection.execute(
        update(queue_entries)
        .where(queue_entries.c.item_id == entry.item_id)
        .values(num_judges=num_judges, is_open=is_open)
    )
    if is_open and not entry.is_open:
        renew_queue_version(connection)
