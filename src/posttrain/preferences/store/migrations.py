"""Versions of the tables: a new store starts at the newest one, an older store is brought there, step by step.

A change of `schema` needs a new `Migration` here that changes older stores in the same way. Forward only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, insert, inspect, select, text

from posttrain.errors import DataError
from posttrain.preferences.store import postgresql, sqlite
from posttrain.preferences.store.append_only import forbid_changes
from posttrain.preferences.store.schema import metadata, schema_version

_TABLES_OF_EVERY_VERSION: Final = frozenset(("schema_version", "items", "annotators", "judgements"))


@dataclass(frozen=True, slots=True)
class Migration:
    """The step to `version` from the one before it."""

    version: int
    apply: Callable[[Connection], None]


MIGRATIONS: Final[tuple[Migration, ...]] = ()
"""In ascending order, from version 2 on."""

NEWEST_VERSION: Final = 1 + len(MIGRATIONS)


def bring_up_to_date(
    connection: Connection,
    where: str,
    must_exist: bool,
    now: float,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> None:
    """Afterwards the tables are those of `schema`: made (unless `must_exist`), brought there, or found so.

    All in the caller's transaction; of two servers that start at once the second waits. DataError for a database
    that is no store, or one that a newer posttrain has brought further.
    """
    newest = migrations[-1].version if migrations else 1
    postgresql.lock(connection, postgresql.LOCK_OF_TABLES)
    _refuse_other_programs(connection, where)
    found = _version_of(connection)
    if found is None:
        _make(connection, where, must_exist, newest, now)
        return
    if found > newest:
        raise DataError(
            f"{where} was written by a newer posttrain (its tables have version {found}, this posttrain knows "
            f"{newest}). Install the newer posttrain: an older one could spoil what is in it."
        )
    for migration in migrations:
        if migration.version > found:
            migration.apply(connection)
            _note(connection, migration.version, now)


def _refuse_other_programs(connection: Connection, where: str) -> None:
    """DataError where what is there was made by another program, whatever its tables are called."""
    if connection.dialect.name == "sqlite":
        file: Any = connection.connection.driver_connection
        if sqlite.is_of_another_program(file):
            raise DataError(
                f"{where} is an SQLite file of some other program, not a store of posttrain: its header does not say "
                "so. Give another file name. If it is a store that was restored from a dump, which loses this mark, "
                f'put it back: sqlite3 FILE "PRAGMA application_id = {sqlite.APPLICATION_ID}"'
            )
        return
    tables = set(inspect(connection).get_table_names(schema=postgresql.SCHEMA))
    if tables and not tables >= _TABLES_OF_EVERY_VERSION:
        raise DataError(
            f"the schema {postgresql.SCHEMA!r} of {where} holds tables of some other program, not a store of "
            f"posttrain: there is no table {min(_TABLES_OF_EVERY_VERSION - tables)!r}. Give another database, one "
            f"without that schema: createdb NAME"
        )


def _version_of(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema_version.name, schema=_schema_of(connection)):
        return None
    version: int | None = connection.scalar(select(func.max(schema_version.c.version)))
    return version


def _make(connection: Connection, where: str, must_exist: bool, version: int, now: float) -> None:
    if must_exist:
        raise DataError(
            f"there is no store in {where} yet. Fill one first: posttrain store import STORE SAMPLES.jsonl"
        )
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"PRAGMA application_id = {sqlite.APPLICATION_ID}"))
    else:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {postgresql.SCHEMA}"))
    metadata.create_all(connection, checkfirst=False)
    forbid_changes(connection)
    _note(connection, version, now)


def _note(connection: Connection, version: int, now: float) -> None:
    connection.execute(insert(schema_version).values(version=version, applied_at=now))


def _schema_of(connection: Connection) -> str | None:
    return postgresql.SCHEMA if connection.dialect.name == "postgresql" else None
