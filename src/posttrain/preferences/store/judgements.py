"""Judgements into the store, once each, and out of it. They are appended and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select

from posttrain.preferences.store.appending import append
from posttrain.preferences.store.chunks import in_chunks
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.records import Judgement, Submission, Submitted
from posttrain.preferences.store.schema import current_judgements as current
from posttrain.preferences.store.schema import judgements

_AT_ONCE: Final = 500


def submit(store: Store, submission: Submission, *, needs_lease: bool = True) -> Submitted:
    """Store the judgement, and end its lease and draft: all of it or nothing, and on the disk when this returns.

    A submission that is stored already (same `submission_id`) counts once. A lease that has expired does not matter:
    the work is kept, and the item may then have one judge more than it wanted. With `needs_lease=False` the person
    need not have been given the item (reviewers who settle, imports). InvalidSubmission, UnknownItem, StaleJudgement
    and NotAssigned say why nothing was stored.
    """
    return store.write(
        lambda connection: append(connection, submission, store.now(), needs_lease=needs_lease)
    )


def submit_all(store: Store, submissions: Iterable[Submission]) -> list[Submitted]:
    """Store many judgements of people who need not have been given the items: for imports, a few hundred at a time.

    As `submit` otherwise. After an error the ones before it may be stored; sending all again counts none twice.
    """
    done: list[Submitted] = []
    for chunk in in_chunks(submissions, _AT_ONCE):

        def append_chunk(connection: Connection, chunk: list[Submission] = chunk) -> list[Submitted]:
            return [append(connection, one, store.now(), needs_lease=False) for one in chunk]

        done += store.write(append_chunk)
    return done


def history(store: Store, annotator_id: int, before: int | None = None, limit: int = 50) -> list[Judgement]:
    """The person's current judgements, newest first; `before` is the number of the last one seen so far."""
    statement = (
        _current()
        .where(current.c.annotator_id == annotator_id)
        .order_by(current.c.judgement_id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(current.c.judgement_id < before)
    with store.reading() as connection:
        return [judgement_of(row) for row in connection.execute(statement)]


def current_judgement(connection: Connection, annotator_id: int, item_id: int) -> Judgement | None:
    """The newest judgement of that person of that item."""
    row = connection.execute(
        _current().where(current.c.annotator_id == annotator_id, current.c.item_id == item_id)
    ).one_or_none()
    return None if row is None else judgement_of(row)


def judgements_of_item(store: Store, item_id: int) -> list[Judgement]:
    """Everyone's current judgement of the item, oldest first."""
    statement = _current().where(current.c.item_id == item_id).order_by(judgements.c.judgement_id)
    with store.reading() as connection:
        return [judgement_of(row) for row in connection.execute(statement)]


def current_judgements(store: Store, since: int | None = None) -> Iterator[Judgement]:
    """The newest judgement of each person of each item, oldest first, as they stood when this began.

    With `since` only those that came after the judgement of that number.
    """
    yield from _iterate(store, _current(), since)


def all_judgements(store: Store, since: int | None = None) -> Iterator[Judgement]:
    """Every judgement ever submitted, also those that were replaced, oldest first."""
    yield from _iterate(store, select(judgements), since)


def count_judgements(store: Store) -> int:
    """How many rankings and cannot-rank judgements are current: what people have judged, skips left out."""
    statement = select(func.count()).select_from(current).where(current.c.kind != "skip")
    with store.reading() as connection:
        return connection.scalar(statement) or 0


def newest_judgement_id(store: Store) -> int:
    """The number of the newest judgement, 0 where there is none: it changes whenever somebody submits."""
    with store.reading() as connection:
        return connection.scalar(select(func.max(judgements.c.judgement_id))) or 0


def judgement_of(row: Row[Any]) -> Judgement:
    """The record of a row of `judgements`."""
    return Judgement(
        judgement_id=row.judgement_id,
        submission_id=row.submission_id,
        item_id=row.item_id,
        annotator_id=row.annotator_id,
        kind=row.kind,
        ranks=None if row.ranks is None else tuple(row.ranks),
        unacceptable=tuple(row.unacceptable),
        grades=tuple(row.grades),
        tags=tuple(tuple(tags) for tags in row.tags),
        note=row.note,
        is_flagged=row.is_flagged,
        order_shown=tuple(row.order_shown),
        guideline_version=row.guideline_version,
        seconds=row.seconds,
        submitted_at=row.submitted_at,
        replaces=row.replaces,
        settles=row.settles,
    )


def _current() -> Select[Any]:
    return select(judgements).join(current, current.c.judgement_id == judgements.c.judgement_id)


def _iterate(store: Store, statement: Select[Any], since: int | None) -> Iterator[Judgement]:
    last = since or 0
    with store.reading() as connection:  # one view of the store, so that a replaced one does not come twice
        while True:
            chunk = connection.execute(
                statement.where(judgements.c.judgement_id > last)
                .order_by(judgements.c.judgement_id)
                .limit(_AT_ONCE)
            ).all()
            if not chunk:
                return
            yield from map(judgement_of, chunk)
            last = chunk[-1].judgement_id
