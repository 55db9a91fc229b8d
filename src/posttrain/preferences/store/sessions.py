"""Sessions of the pages: a secret in a cookie, of which the store keeps a hash alone.

Who reads the store's file cannot sign in with what is in it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import Connection, delete, insert, select, update

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import annotators, web_sessions

SessionKind = Literal["password", "printed"]
"""How a session began: with a password, or by the address that was printed in the terminal."""

RENEWAL_SECONDS: Final = 300.0
"""How often it is noted that a session is in use: not with each request, for that would be a write each time."""

MAX_AGE: Final = timedelta(days=90)
"""A session ends this long after it began, however much it is used: then it takes the password again."""


@dataclass(frozen=True, slots=True)
class SessionHolder:
    """Whose session it is, with the role of now, not of when it began."""

    annotator_id: int
    name: str
    role: str
    kind: SessionKind


def begin_session(
    connection: Connection, now: float, annotator_id: int, *, kind: SessionKind, length: timedelta
) -> str:
    """The secret of a new session, told once. It ends `length` after it was last used, and `MAX_AGE` from now.

    Sweeps ended ones out.
    """
    secret = secrets.token_urlsafe(32)
    connection.execute(delete(web_sessions).where(web_sessions.c.expires_at <= now))
    connection.execute(
        insert(web_sessions).values(
            token_hash=hash_of_secret(secret),
            annotator_id=annotator_id,
            kind=kind,
            created_at=now,
            last_seen_at=now,
            expires_at=_end(now, now, length),
        )
    )
    return secret


def session_holder(store: Store, secret: str, *, length: timedelta) -> SessionHolder | None:
    """Who holds this session; None when it has ended, never was, or its person was disabled."""
    if not secret:
        return None
    now, hashed = store.now(), hash_of_secret(secret)
    query = (
        select(annotators.c.annotator_id, annotators.c.name, annotators.c.role, web_sessions.c.kind)
        .add_columns(web_sessions.c.created_at, web_sessions.c.last_seen_at)
        .select_from(web_sessions.join(annotators))
        .where(web_sessions.c.token_hash == hashed, web_sessions.c.expires_at > now)
        .where(annotators.c.disabled_at.is_(None))
    )
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if now - row.last_seen_at > RENEWAL_SECONDS:
        renewed = {"last_seen_at": now, "expires_at": _end(row.created_at, now, length)}
        store.write(
            lambda connection: connection.execute(
                update(web_sessions).where(web_sessions.c.token_hash == hashed).values(**renewed)
            )
        )
    return SessionHolder(row.annotator_id, row.name, row.role, row.kind)


def _end(created_at: float, now: float, length: timedelta) -> float:
    return min(now + length.total_seconds(), created_at + MAX_AGE.total_seconds())


def end_session(connection: Connection, secret: str) -> None:
    """Ends one session."""
    connection.execute(delete(web_sessions).where(web_sessions.c.token_hash == hash_of_secret(secret)))


def end_all_sessions(connection: Connection, annotator_id: int) -> None:
    """Ends every session of a person."""
    connection.execute(delete(web_sessions).where(web_sessions.c.annotator_id == annotator_id))


def hash_of_secret(secret: str) -> str:
    """What is stored of a secret of 32 random bytes: one hash is enough, for nobody can guess them."""
    return hashlib.sha256(secret.encode()).hexdigest()
