"""Opening a store: what is no store is said so, and two that open at once do not meet."""

from __future__ import annotations

import re
import sqlite3
import threading

import pytest
from sqlalchemy import select, text

from posttrain.errors import ConfigError, DataError
from posttrain.preferences.store import sqlite
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.failures import StoreUnavailable
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store.schema import schema_version
from posttrain.preferences.store.settings import change_queue_settings, queue_settings, write_setting


class TestFiles:
    def test_a_missing_one_says_how_to_make_it(self, tmp_path):
        with pytest.raises(DataError, match=r"no store at .*none\.db.*posttrain store import"):
            open_store(tmp_path / "none.db")
        assert not (tmp_path / "none.db").exists()

    def test_a_folder_and_a_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match="is a folder"):
            open_store(tmp_path, must_exist=False)
        with pytest.raises(DataError, match="there is no folder"):
            open_store(tmp_path / "no" / "store.db", must_exist=False)

    def test_other_files_are_left_as_they_are(self, tmp_path):
        other = tmp_path / "samples.jsonl"
        other.write_text('{"prompt": "?"}\n')
        with pytest.raises(DataError, match="not an SQLite file"):
            open_store(other, must_exist=False)
        assert other.read_text() == '{"prompt": "?"}\n'

    @pytest.mark.parametrize(
        "made_by",
        [
            "CREATE TABLE items (x)",
            "CREATE TABLE schema_version (version); INSERT INTO schema_version VALUES (1)",
            "PRAGMA application_id = 7",
        ],
    )
    def test_databases_of_other_programs_are_left_as_they_are(self, tmp_path, made_by):
        path = tmp_path / "other.db"
        with sqlite3.connect(path) as connection:
            connection.executescript(made_by)
        connection.close()
        before = path.read_bytes()
        for must_exist in (True, False):
            with pytest.raises(DataError, match=r"some other program.*Give another file name"):
                open_store(path, must_exist=must_exist)
        assert path.read_bytes() == before

    def test_a_store_restored_from_a_dump_is_opened_with_its_mark(self, tmp_path):
        open_store(tmp_path / "store.db", must_exist=False).close()
        with sqlite3.connect(tmp_path / "store.db") as old, sqlite3.connect(tmp_path / "new.db") as new:
            new.executescript("\n".join(old.iterdump()))
        old.close()
        with pytest.raises(DataError, match="restored from a dump") as refused:
            open_store(tmp_path / "new.db")
        (statement,) = re.findall(r'"(PRAGMA application_id = \d+)"', str(refused.value))
        with new:
            new.execute(statement)
        new.close()
        open_store(tmp_path / "new.db").close()

    def test_an_empty_file_is_filled_only_when_asked(self, tmp_path):
        path = tmp_path / "empty.db"
        path.touch()
        with pytest.raises(DataError, match="no store in"):
            open_store(path)
        open_store(path, must_exist=False).close()
        open_store(path).close()

    def test_commits_are_on_the_disk_and_readers_do_not_wait(self, tmp_path):
        with open_store(tmp_path / "store.db", must_exist=False) as store, store.reading() as connection:
            settings = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

    def test_a_locked_file_is_said_after_patience(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.1)
        path = tmp_path / "store.db"
        with open_store(path, must_exist=False) as store:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match=r"database is locked.*nothing was stored"):
                change_queue_settings(store, overlap=2)
            other.execute("ROLLBACK")
            other.close()
            assert change_queue_settings(store, overlap=2).overlap == 2

    def test_a_writer_within_the_program_does_not_wait_for_ever(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.1)
        with (
            open_store(tmp_path / "store.db", must_exist=False) as store,
            store.writing(),
            pytest.raises(StoreUnavailable, match="another part of this program"),
        ):
            change_queue_settings(store, overlap=2)


class TestServers:
    def test_other_databases_are_refused(self):
        with pytest.raises(ConfigError, match="mysql://"):
            open_store("mysql://user@host/db")
        with pytest.raises(ConfigError, match="names no database"):
            open_store("postgresql://user@host")
        with pytest.raises(ConfigError, match="of the form"):
            open_store("postgresql://user@host:port/db")

    def test_a_server_that_does_not_answer_is_named_without_the_password(self):
        with pytest.raises(StoreUnavailable, match=r"user:\*\*\*@127\.0\.0\.1") as refused:
            open_store("postgresql://user:secret@127.0.0.1:1/db")
        assert "secret" not in str(refused.value)

    def test_a_database_that_does_not_exist(self, postgresql):
        with pytest.raises(StoreUnavailable, match="nowhere"):
            open_store(postgresql.url("nowhere"), must_exist=False)

    def test_an_empty_database_is_filled_only_when_asked(self, postgresql):
        url = postgresql.empty_database("place0")
        with pytest.raises(DataError, match="no store in"):
            open_store(url)
        with open_store(url, must_exist=False) as store:
            assert "not-asked-for" not in store.where
        open_store(url).close()

    @pytest.mark.parametrize("table", ["schema_version (version)", "items (x)"])
    def test_a_schema_of_another_program_is_refused(self, postgresql, table):
        url = postgresql.empty_database("place0")
        postgresql.execute("CREATE SCHEMA posttrain", "place0")
        postgresql.execute(f"CREATE TABLE posttrain.{table.replace(')', ' integer)')}", "place0")
        for must_exist in (True, False):
            with pytest.raises(DataError, match=r"'posttrain' of .*some other program.*another database"):
                open_store(url, must_exist=must_exist)

    def test_a_server_that_comes_back_is_found_again(self, postgresql):
        url = postgresql.empty_database("place0")
        end_all = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = 'place0' AND pid <> pg_backend_pid()"
        )

        def work(connection):
            postgresql.execute(end_all, "place0")
            write_setting(connection, "overlap", 5)

        with open_store(url, must_exist=False) as store:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                store.write(work)
            assert queue_settings(store).overlap == 1

    def test_what_the_server_undid_is_done_again(self, postgresql):
        """Two transactions that wait for each other: the server ends one, and it succeeds the second time."""
        url = postgresql.empty_database("place0")
        meet = threading.Barrier(2, timeout=30)
        attempts = []
        with open_store(url, must_exist=False) as store:
            with store.writing() as connection:
                write_setting(connection, "a", 0)
                write_setting(connection, "b", 0)

            def write_both(first, second):
                tries = 0

                def work(connection):
                    nonlocal tries
                    tries += 1
                    write_setting(connection, first, second)
                    if tries == 1:
                        meet.wait()
                    write_setting(connection, second, first)

                store.write(work)
                attempts.append(tries)

            threads = [threading.Thread(target=write_both, args=pair) for pair in (("a", "b"), ("b", "a"))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(attempts) == [1, 2]


def test_a_failed_change_changes_nothing(store):
    def work(connection):
        write_setting(connection, "overlap", 5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(work)
    assert queue_settings(store).overlap == 1


def test_a_reader_sees_one_state_to_the_end(store):
    with store.reading() as reader:
        before = reader.execute(select(schema_version.c.version)).all()
        change_queue_settings(store, overlap=4)
        assert reader.execute(select(schema_version.c.version)).all() == before
        assert reader.scalar(text("SELECT count(*) FROM settings")) == 0
    assert queue_settings(store).overlap == 4


def test_many_that_open_at_once_make_one_store(new_place):
    where = new_place()
    failures = []
    start = threading.Barrier(6)

    def open_it():
        start.wait()
        try:
            open_store(where, must_exist=False).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_store(where) as store, store.reading() as connection:
        assert connection.execute(select(schema_version.c.version)).all() == [(1,)]


def test_the_planner_learns_the_sizes_of_the_tables(store):
    """SQLite has nothing to refresh; PostgreSQL plans by what it last counted."""
    add_items(store, [NewItem(f"q/{i}", "?", ("a", "b")) for i in range(300)])
    store.refresh_statistics()
    if not store.is_sqlite:
        with store.reading() as connection:
            counted = (
                connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'items'"))
                .scalars()
                .all()
            )
        assert 300 in counted
