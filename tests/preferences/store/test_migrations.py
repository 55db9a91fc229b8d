"""Stores of older versions are brought forward, whole or not at all; those of newer ones are left alone."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, select
from tests.preferences.store.examples import fill, judgement

from posttrain.errors import DataError
from posttrain.preferences.store import migrations
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.items import get_item
from posttrain.preferences.store.judgements import current_judgements, submit
from posttrain.preferences.store.migrations import Migration, bring_up_to_date
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.schema import schema_version

VERSION_1 = Path(__file__).parent / "version_1.sql"


def statements_of(path: Path) -> list[str]:
    """What made the tables of an SQLite store, one word apart."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
        ).fetchall()
    connection.close()
    return [" ".join(row[0].split()) for row in rows]


def make_version_1(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1.read_text())
    connection.close()


def versions(store):
    with store.reading() as connection:
        return list(connection.scalars(select(schema_version.c.version).order_by(schema_version.c.version)))


def add_column(connection):
    connection.exec_driver_sql("ALTER TABLE guidelines ADD COLUMN language TEXT")


def test_a_store_of_version_1_becomes_what_a_new_one_is(tmp_path):
    """The DDL of version 1 is kept: a change of the schema without a migration fails here."""
    make_version_1(tmp_path / "old.db")
    open_store(tmp_path / "old.db").close()
    open_store(tmp_path / "new.db", must_exist=False).close()
    assert sorted(statements_of(tmp_path / "old.db")) == sorted(statements_of(tmp_path / "new.db"))


def test_a_store_of_version_1_works(tmp_path):
    make_version_1(tmp_path / "old.db")
    with open_store(tmp_path / "old.db") as store:
        (anna,) = fill(store, 2)
        next_item(store, anna)
        submit(store, judgement(1, anna))
        assert get_item(store, 1).num_judges == 1
        assert len(list(current_judgements(store))) == 1


def test_a_migration_changes_old_stores_once(store):
    for _ in range(2):
        with store.writing() as connection:
            bring_up_to_date(connection, store.where, True, 5.0, (Migration(2, add_column),))
    assert versions(store) == [1, 2]
    with store.reading() as connection:
        assert "language" in {column["name"] for column in inspect(connection).get_columns("guidelines")}


def test_a_migration_that_fails_leaves_the_store_as_it_was(store):
    def fails_halfway(connection):
        add_column(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        bring_up_to_date(connection, store.where, True, 5.0, (Migration(2, fails_halfway),))
    assert versions(store) == [1]
    with store.reading() as connection:
        assert "language" not in {column["name"] for column in inspect(connection).get_columns("guidelines")}


def test_servers_that_start_at_once_migrate_once(store):
    start = threading.Barrier(4)
    failures = []

    def migrate():
        start.wait()
        try:
            with store.writing() as connection:
                bring_up_to_date(connection, store.where, True, 5.0, (Migration(2, add_column),))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert versions(store) == [1, 2]


def test_a_newer_store_is_left_alone(new_place):
    where = new_place()
    with open_store(where, must_exist=False) as store, store.writing() as connection:
        bring_up_to_date(connection, where, True, 5.0, (Migration(2, add_column),))
    with pytest.raises(DataError, match=r"newer posttrain.*version 2, this posttrain knows 1"):
        open_store(where)


def test_versions_count_up_from_2():
    numbers = [migration.version for migration in migrations.MIGRATIONS]
    assert numbers == list(range(2, 2 + len(numbers)))
