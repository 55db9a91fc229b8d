"""Statements that SQLAlchemy words differently for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table
from sqlalchemy.dialects import postgresql as for_postgresql
from sqlalchemy.dialects import sqlite as for_sqlite


def insert_or_update(
    connection: Connection, table: Table, row: Mapping[str, Any], keep: Collection[str] = ()
) -> None:
    """Afterwards the table holds this row: in place of the one with the same primary key, if there was one.

    Columns in `keep` stay as they were in that one.
    """
    insert = for_sqlite.insert if connection.dialect.name == "sqlite" else for_postgresql.insert
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in keys and name not in keep}
    statement = insert(table).values(**row).on_conflict_do_update(index_elements=keys, set_=rest)
    connection.execute(statement)


def locking(statement: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """The statement that also keeps its rows from being changed by others until the transaction ends.

    SQLite leaves the words out: its writers are alone. Rows that others refer to are kept the weaker way that
    PostgreSQL has for it, so that adding such references need not wait.
    """
    return statement.with_for_update(key_share=True, skip_locked=skip_locked)
