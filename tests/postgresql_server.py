"""A PostgreSQL server of one's own, from the system's binaries, in a temporary folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, text

_SECONDS_TO_START = 60


@dataclass
class PostgresqlServer:
    """A running server; what is in it goes with it."""

    port: int
    _databases: set[str] = field(default_factory=set)

    def url(self, database: str) -> str:
        return f"postgresql://posttrain:not-asked-for@127.0.0.1:{self.port}/{database}"

    def empty_database(self, name: str) -> str:
        """The URL of a database of that name without a store in it; made, or emptied, which is faster."""
        if name in self._databases:
            self.execute("DROP SCHEMA IF EXISTS posttrain CASCADE", name)
        else:
            self.execute(f"CREATE DATABASE {name}")
            self._databases.add(name)
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside of a transaction."""
        engine = create_engine(self.url(database).replace("postgresql://", "postgresql+pg8000://"))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()


def postgresql_folder() -> Path | None:
    """Where `initdb` and `postgres` are, the newest version first; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    folders = [*([Path(found).resolve().parent] if found else []), *reversed(installed)]
    return next(
        (path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()), None
    )


@contextmanager
def running_postgresql(*, is_durable: bool = True) -> Iterator[PostgresqlServer]:
    """A server until the end of the block. With `is_durable=False` it does not wait for the disk."""
    binaries = postgresql_folder()
    assert binaries is not None, "ask postgresql_folder() first"
    as_user = _unprivileged()
    # Not below pytest's folders, which belong to root alone.
    with tempfile.TemporaryDirectory(prefix="posttrain-postgresql-", ignore_cleanup_errors=True) as folder:
        if as_user:
            shutil.chown(folder, as_user)
        command = ["setpriv", f"--reuid={as_user}", "--clear-groups", "--pdeathsig=INT"] if as_user else []
        data = Path(folder) / "data"
        subprocess.run(
            [*command, binaries / "initdb", "-D", data, "-U", "posttrain", "--auth=trust", "--no-sync",
             "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "on" if is_durable else "off",
            "max_connections": 200,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*command, binaries / "postgres", "-D", data, *settings], stdout=log, stderr=log, cwd="/"
            )
        try:
            server = PostgresqlServer(port)
            _wait_until_it_answers(server, process, log_path)
            yield server
        finally:
            process.send_signal(subprocess.signal.SIGQUIT)  # at once: nothing in it is needed any more
            process.wait(timeout=30)


def _unprivileged() -> str | None:
    """The user to run the server as, because PostgreSQL refuses root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(
    server: PostgresqlServer, process: subprocess.Popen[bytes], log_path: Path
) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            server.execute("SELECT 1")
            return
        except Exception as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log_path.read_text()[-2000:]}") from error
            time.sleep(0.05)
