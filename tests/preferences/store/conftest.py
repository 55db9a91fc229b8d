"""Stores of both kinds, with a clock that stands still until it is set forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.postgresql_server import PostgresqlServer, postgresql_folder, running_postgresql

from posttrain.preferences.store.database import Store, open_store

NO_POSTGRESQL = "PostgreSQL is not installed (Debian: apt-get install postgresql), so its tests are skipped"


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    if postgresql_folder() is None:
        pytest.skip(NO_POSTGRESQL)
    with running_postgresql(is_durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes addresses of stores that do not exist yet, of each kind of database."""
    if request.param == "sqlite":
        names = iter(range(10_000))
        return lambda: str(tmp_path / f"store{next(names)}.db")
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    names = (f"place{number}" for number in range(10_000))
    return lambda: server.empty_database(next(names))


@pytest.fixture
def store(new_place: Callable[[], str], clock: Clock) -> Iterator[Store]:
    with open_store(new_place(), must_exist=False, now=clock) as opened:
        yield opened
