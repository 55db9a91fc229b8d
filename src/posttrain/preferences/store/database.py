"""Opening a store, and the two ways to talk to it: `reading()` and `writing()`.

store = open_store("rankings.db", must_exist=False)
with store.writing() as connection:
    connection.execute(...)          # committed at the end, rolled back by an exception
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from posttrain.preferences.store import postgresql, sqlite
from posttrain.preferences.store.failures import StoreUnavailable
from posttrain.preferences.store.migrations import bring_up_to_date
from posttrain.preferences.store.schema import metadata

MAX_ATTEMPTS: Final = 5
"""How often a piece of work is done again after PostgreSQL ended it for the sake of another."""

Result = TypeVar("Result")


class Store:
    """An open preference store; safe to use from many threads. Made by `open_store`.

    `where` names the database for people: a path, or a URL without its password.
    """

    def __init__(self, engine: Engine, where: str, now: Callable[[], float]) -> None:
        self.where = where
        self.now = now
        self._engine = engine
        # SQLite has one writer. Waiting here is fair and wakes at once; its own waiting is sleeping and trying again.
        self._one_writer = threading.Lock() if self.is_sqlite else None

    @property
    def is_sqlite(self) -> bool:
        """True for a file, False for a PostgreSQL server."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the store as it is now, and sees it so until the end. It must not write.

        StoreUnavailable where the database does not answer.
        """
        with self._answering(), self._engine.connect() as connection:
            reader = connection.execution_options(posttrain_writes=False, **self._snapshot_options())
            with reader.begin():
                yield reader

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are stored together at the end, or not at all after an exception.

        In SQLite nobody else writes meanwhile. In PostgreSQL each statement sees what is committed; lock the rows
        that a decision rests on. StoreUnavailable where the database does not answer or stays locked.
        """
        with self._answering(), self._one_at_a_time(), self._engine.connect() as connection:
            writer = connection.execution_options(posttrain_writes=True)
            with writer.begin():
                yield writer

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """What `work(connection)` returns, done in `writing()`, and again where PostgreSQL had to end it.

        It ends one of two transactions that wait for each other, for example; `work` must be safe to run twice.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with self.writing() as connection:
                    return work(connection)
            except DBAPIError as error:
                if attempt == MAX_ATTEMPTS or not postgresql.may_be_repeated(error):
                    raise
                time.sleep(0.01 * attempt)
        raise AssertionError("the last attempt returns or raises")

    def refresh_statistics(self) -> None:
        """PostgreSQL's planner knows how large the tables are now.

        It finds out by itself within minutes; until then, after a large import, a page can wait for most of one.
        """
        if not self.is_sqlite:
            with self.writing() as connection:
                for table in metadata.sorted_tables:
                    connection.execute(
                        text(f"ANALYZE {connection.dialect.identifier_preparer.format_table(table)}")
                    )

    def close(self) -> None:
        """Give the connections back; the store can not be used afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _snapshot_options(self) -> dict[str, object]:
        if self.is_sqlite:
            return {}
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self._one_writer is None:
            yield
            return
        if not self._one_writer.acquire(timeout=sqlite.PATIENCE_SECONDS):
            raise StoreUnavailable(
                f"{self.where} has been written to for {sqlite.PATIENCE_SECONDS} s by another part of this program, "
                "so this was not stored. Try again."
            )
        try:
            yield
        finally:
            self._one_writer.release()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if postgresql.may_be_repeated(error):
                raise
            if isinstance(error, OperationalError | InterfaceError) or postgresql.is_unavailable(error):
                raise StoreUnavailable(_unavailable(self.where, self.is_sqlite, error)) from error
            raise


def open_store(where: str | Path, *, must_exist: bool = True, now: Callable[[], float] = time.time) -> Store:
    """The store in that SQLite file, or at that URL `postgresql://user:password@host/database`.

    With `must_exist=False` it is made where there is none. An older version's tables are brought up to date. `now`
    is the clock. DataError for a file that is missing or no store, for a store of a newer posttrain, and
    (StoreUnavailable) for a server that does not answer; ConfigError for a URL of another kind of database.
    """
    if postgresql.is_url(where):
        engine, name = postgresql.engine_for(str(where))
    else:
        engine, name = sqlite.engine_for(Path(where), must_exist)
    store = Store(engine, name, now)
    try:
        store.write(lambda connection: bring_up_to_date(connection, name, must_exist, now()))
    except BaseException:
        store.close()
        raise
    return store


def _unavailable(where: str, is_sqlite: bool, error: DBAPIError) -> str:
    reason = postgresql.reason_of(error)
    if is_sqlite:
        return (
            f"{where} could not be read or written ({reason}), so nothing was stored. Is another program holding it, "
            "is the disk full, or is it on a network drive? Then try again."
        )
    return (
        f"the PostgreSQL server of {where} does not answer ({reason}), so nothing was stored. Check that it runs, "
        "that the address, user, password and database are right, and try again."
    )
