"""What annotators are told; every text that was ever in force stays, because judgements name its version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, insert, select

from posttrain.preferences.store import postgresql
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import guidelines


@dataclass(frozen=True, slots=True)
class Guidelines:
    """One version of the guidelines, counted from 1."""

    version: int
    text: str
    created_at: float
    author: str


def current_guidelines(store: Store) -> Guidelines | None:
    """The version in force, None before the first."""
    with store.reading() as connection:
        return _newest(connection)


def guidelines_version(store: Store, version: int) -> Guidelines | None:
    """The guidelines of that version, None where there is none."""
    with store.reading() as connection:
        row = connection.execute(select(guidelines).filter_by(version=version)).one_or_none()
    return None if row is None else Guidelines(row.version, row.text, row.created_at, row.author)


def publish_guidelines(store: Store, text: str, author: str) -> Guidelines:
    """The text as the version now in force; the newest version itself where it says the same already."""

    def publish(connection: Connection) -> Guidelines:
        postgresql.lock(connection, postgresql.LOCK_OF_GUIDELINES)
        newest = _newest(connection)
        if newest is not None and newest.text == text:
            return newest
        version = 1 if newest is None else newest.version + 1
        now = store.now()
        connection.execute(
            insert(guidelines).values(version=version, text=text, created_at=now, author=author)
        )
        return Guidelines(version, text, now, author)

    return store.write(publish)


def known_guidelines(store: Store) -> list[Guidelines]:
    """Every version there ever was, in order."""
    with store.reading() as connection:
        rows = connection.execute(select(guidelines).order_by(guidelines.c.version)).all()
    return [Guidelines(row.version, row.text, row.created_at, row.author) for row in rows]


def restore_guidelines(store: Store, versions: Iterable[Guidelines]) -> list[Guidelines]:
    """These versions, under their own numbers, in a store that has none yet; afterwards all that it has."""

    def restore(connection: Connection) -> None:
        postgresql.lock(connection, postgresql.LOCK_OF_GUIDELINES)
        if _newest(connection) is None:
            rows = [asdict(version) for version in versions]
            connection.execute(insert(guidelines), rows)

    store.write(restore)
    return known_guidelines(store)


def _newest(connection: Connection) -> Guidelines | None:
    newest = select(func.max(guidelines.c.version)).scalar_subquery()
    row = connection.execute(select(guidelines).where(guidelines.c.version == newest)).one_or_none()
    return None if row is None else Guidelines(row.version, row.text, row.created_at, row.author)
