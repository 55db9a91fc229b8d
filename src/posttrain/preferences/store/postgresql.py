"""A store on a PostgreSQL server, in a schema of its own called `posttrain`, through the pg8000 driver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from posttrain.errors import ConfigError

SCHEMA: Final = "posttrain"
_EXAMPLE: Final = "postgresql://user:password@host/database"
# Serialisation failure and deadlock: the server undid the transaction and asks for another try.
_TRY_AGAIN: Final = ("40001", "40P01")
# No connection, no right to one, no such database, no resources, shut down, no right to the tables.
_UNAVAILABLE: Final = ("08", "28", "3D", "53", "57", "58", "42501")
# Numbers of advisory locks; any will do as long as nobody else in the database uses them.
_LOCK_SPACE: Final = 0x706F7374  # "post"
LOCK_OF_TABLES: Final = 1
LOCK_OF_IMPORTS: Final = 2
LOCK_OF_JUDGEMENTS: Final = 3
LOCK_OF_GUIDELINES: Final = 4


def is_url(where: str | Path) -> bool:
    """True for an address of a server, False for a path."""
    return isinstance(where, str) and "://" in where


def engine_for(url_text: str) -> tuple[Engine, str]:
    """The engine of that URL, and the URL without its password. ConfigError for what is no PostgreSQL URL.

    The password may stand in the environment's PGPASSWORD instead, where no settings file keeps it.
    """
    url = _read_url(url_text)
    try:
        engine = create_engine(
            url,
            pool_size=10,
            max_overflow=20,
            pool_pre_ping=True,  # connections from before the server was restarted are noticed
            connect_args={"startup_params": {"search_path": SCHEMA}, "timeout": 60},
        )
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            "a store on PostgreSQL needs the driver pg8000, which is not installed: pip install 'posttrain[postgres]'"
        ) from error
    return engine, url.set(drivername="postgresql").render_as_string(hide_password=True)


def _read_url(url_text: str) -> URL:
    scheme = url_text.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise ConfigError(
            f"a store cannot be at {scheme}://...: it is a file (store.db) or a PostgreSQL database ({_EXAMPLE})"
        )
    try:
        url = make_url(url_text)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"the address of the store is not of the form {_EXAMPLE}") from error
    if not url.database:
        raise ConfigError(f"the address of the store names no database; it has the form {_EXAMPLE}")
    if url.password is None and (password := os.environ.get("PGPASSWORD")):
        url = url.set(password=password)
    return url.set(drivername="postgresql+pg8000")


def may_be_repeated(error: DBAPIError) -> bool:
    """True where the server undid the transaction because of another one, and doing it again may succeed."""
    return _said(error).get("C") in _TRY_AGAIN


def lock(connection: Connection, number: int) -> None:
    """Let one transaction at a time go on from here, until it ends; SQLite's writers are alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, :number)"), {"space": _LOCK_SPACE, "number": number}
        )


def is_unavailable(error: DBAPIError) -> bool:
    """True where the server does not answer, or not for us, rather than the statement being wrong."""
    return _said(error).get("C", "").startswith(_UNAVAILABLE)


def reason_of(error: DBAPIError) -> str:
    """What the server said, or why there was no server to say it."""
    return _said(error).get("M") or str(error.orig).strip()


def _said(error: DBAPIError) -> dict[str, str]:
    """The fields of the server's answer; none where it did not come from the server."""
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], dict) else {}
