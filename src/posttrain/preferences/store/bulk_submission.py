"""First judgements of many items at once, for imports: a few statements for hundreds of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, insert, or_, select, tuple_, update

from posttrain.preferences.store import postgresql
from posttrain.preferences.store.chunks import in_chunks
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.judgement_checks import check_submission
from posttrain.preferences.store.records import Submission
from posttrain.preferences.store.schema import (
    annotators,
    current_judgements,
    drafts,
    judgements,
    leases,
    queue_entries,
    responses,
)
from posttrain.preferences.store.settings import read_queue_settings
from posttrain.preferences.store.statements import locking

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class BulkSubmitted:
    """What became of them: new, stored before, and those of people who have another judgement of the item."""

    num_added: int
    num_known: int
    has_another: tuple[Submission, ...]


def submit_first_judgements(store: Store, submissions: Sequence[Submission]) -> BulkSubmitted:
    """Store judgements of items that their annotators have not judged yet; nobody needs to have been given the items.

    As `judgements.submit` otherwise, and the same submission again counts once. What would replace another judgement
    is not stored. InvalidSubmission where one does not fit its item; then nothing of its few hundred is stored.
    """
    num_added, num_known, has_another = 0, 0, list[Submission]()
    for chunk in in_chunks(submissions, _AT_ONCE):

        def add(connection: Connection, chunk: list[Submission] = chunk) -> BulkSubmitted:
            return _append(connection, chunk, store.now())

        done = store.write(add)
        num_added += done.num_added
        num_known += done.num_known
        has_another += done.has_another
    return BulkSubmitted(num_added, num_known, tuple(has_another))


def _append(connection: Connection, submissions: Sequence[Submission], now: float) -> BulkSubmitted:
    people = sorted({one.annotator_id for one in submissions})
    item_ids = sorted({one.item_id for one in submissions})
    # People first, then items, each in their order, as every writer does: no two wait for each other.
    for table, key, numbers in (
        (annotators, annotators.c.annotator_id, people),
        (queue_entries, queue_entries.c.item_id, item_ids),
    ):
        connection.execute(locking(select(table).where(key.in_(numbers)).order_by(key)))
    sizes = {
        row[0]: row[1]
        for row in connection.execute(
            select(responses.c.item_id, func.count())
            .where(responses.c.item_id.in_(item_ids))
            .group_by(responses.c.item_id)
        )
    }
    fresh, num_known, has_another = _fresh(connection, submissions)
    for one in fresh:
        check_submission(one, sizes[one.item_id], needs_order=False)
    if fresh:
        _insert(connection, fresh, sizes, now)
        _count(connection, fresh)
    return BulkSubmitted(len(fresh), num_known, tuple(has_another))


def _fresh(
    connection: Connection, submissions: Sequence[Submission]
) -> tuple[list[Submission], int, list[Submission]]:
    """Those to be stored, how many are stored, and those whose person has another judgement of the item."""
    names = [one.submission_id for one in submissions]
    stored = set(
        connection.scalars(select(judgements.c.submission_id).where(judgements.c.submission_id.in_(names)))
    )
    keys = (current_judgements.c.annotator_id, current_judgements.c.item_id)
    statement = select(*keys).where(tuple_(*keys).in_(_keys(submissions)))
    taken = {(row.annotator_id, row.item_id) for row in connection.execute(statement)}
    fresh, num_known, has_another = list[Submission](), 0, list[Submission]()
    for one in submissions:
        if one.submission_id in stored:
            num_known += 1
        elif (one.annotator_id, one.item_id) in taken:
            has_another.append(one)
        else:
            stored.add(one.submission_id)
            taken.add((one.annotator_id, one.item_id))
            fresh.append(one)
    return fresh, num_known, has_another


def _keys(submissions: Sequence[Submission]) -> list[tuple[int, int]]:
    return [(one.annotator_id, one.item_id) for one in submissions]


def _insert(connection: Connection, fresh: Sequence[Submission], sizes: dict[int, int], now: float) -> None:
    postgresql.lock(connection, postgresql.LOCK_OF_JUDGEMENTS)
    inserted = connection.execute(
        insert(judgements).returning(judgements.c.submission_id, judgements.c.judgement_id),
        [
            {
                "submission_id": one.submission_id,
                "item_id": one.item_id,
                "annotator_id": one.annotator_id,
                "kind": one.kind,
                "ranks": one.ranks,
                "unacceptable": one.unacceptable or (False,) * sizes[one.item_id],
                "grades": one.grades or (None,) * sizes[one.item_id],
                "tags": one.tags or ((),) * sizes[one.item_id],
                "note": one.note,
                "is_flagged": one.is_flagged,
                "order_shown": one.order_shown,
                "guideline_version": one.guideline_version,
                "seconds": one.seconds,
                "submitted_at": now if one.submitted_at is None else one.submitted_at,
                "replaces": None,
                "settles": one.settles,
            }
            for one in fresh
        ],
    )
    numbers = {row.submission_id: row.judgement_id for row in inserted}
    connection.execute(
        insert(current_judgements).returning(current_judgements.c.item_id),
        [
            {
                "annotator_id": one.annotator_id,
                "item_id": one.item_id,
                "judgement_id": numbers[one.submission_id],
                "kind": one.kind,
            }
            for one in fresh
        ],
    )
    for table in (leases, drafts):
        connection.execute(
            delete(table).where(tuple_(table.c.annotator_id, table.c.item_id).in_(_keys(fresh)))
        )


def _count(connection: Connection, fresh: Sequence[Submission]) -> None:
    """Add to the items' judges, and close those that have enough; first judgements open none."""
    judged = Counter(one.item_id for one in fresh if one.kind != "skip")
    overlap = read_queue_settings(connection)[0].overlap
    by_count: dict[int, list[int]] = {}
    for item_id, count in judged.items():
        by_count.setdefault(count, []).append(item_id)
    for count, item_ids in by_count.items():
        after = queue_entries.c.num_judges + count
        connection.execute(
            update(queue_entries)
            .where(queue_entries.c.item_id.in_(item_ids))
            .values(
                num_judges=after,
                is_open=or_(queue_entries.c.is_gold, after < func.coalesce(queue_entries.c.overlap, overlap)),
            )
        )
