"""A store in one SQLite file: write-ahead log, a commit is on the disk before it is answered."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from posttrain.errors import DataError

APPLICATION_ID: Final = 0x70747264
"""Says in an SQLite file's header that it is a store of posttrain ("ptrd")."""

PATIENCE_SECONDS: Final = 30
"""How long a write waits for other writers before it gives up."""

_FIRST_BYTES: Final = b"SQLite format 3\x00"
_MAX_CONNECTIONS: Final = 64  # more than a server has threads; the pool never makes anyone wait


def engine_for(path: Path, must_exist: bool) -> tuple[Engine, str]:
    """The engine of that file, and its name for people. DataError where it is missing or no SQLite file."""
    _check_file(path, must_exist)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=_MAX_CONNECTIONS,
        max_overflow=0,
        connect_args={"timeout": PATIENCE_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine, str(path)


def is_of_another_program(connection: sqlite3.Connection) -> bool:
    """Whether the file holds something, and its header does not say that this is a store of posttrain."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id == APPLICATION_ID:
        return False
    return application_id != 0 or connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None


def _check_file(path: Path, must_exist: bool) -> None:
    if path.is_dir():
        raise DataError(
            f"{path} is a folder; a store is a file. Name one in it, for example {path}/store.db."
        )
    if not path.exists():
        if must_exist:
            raise DataError(
                f"there is no store at {path}. Fill one first: posttrain store import {path} SAMPLES.jsonl, "
                f"or posttrain sample ... --store {path}"
            )
        if not path.absolute().parent.is_dir():
            raise DataError(
                f"{path} cannot be made: there is no folder {path.absolute().parent}. Make it first."
            )
        return
    with path.open("rb") as file:
        start = file.read(len(_FIRST_BYTES))
    if start and start != _FIRST_BYTES:
        raise DataError(
            f"{path} is no store: it is not an SQLite file. A store is made by posttrain store import STORE FILE."
        )


def _set_up(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # sqlite3 opens no transactions of its own; `_begin` does
    cursor = connection.cursor()
    if not is_of_another_program(
        connection
    ):  # the mode stays in the file, and `migrations` will refuse this one
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -32000")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: one that began by reading could not be let on after another's write.
    writes = connection.get_execution_options().get("posttrain_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
