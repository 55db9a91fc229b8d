"""Signing in with a name and a password, with a limit on failures that all servers of a store share.

An attempt is stored before its password is looked at, so a thousand at once are counted as a thousand.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from posttrain.preferences.store import audit
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.passwords import is_password
from posttrain.preferences.store.people import Annotator, account_named, name_key
from posttrain.preferences.store.schema import annotators, login_attempts
from posttrain.preferences.store.sessions import begin_session

WINDOW_SECONDS: Final = 15 * 60
"""Failures count for this long."""
MAX_FAILURES_OF_NAME: Final = 10
"""After so many for one name, from wherever, that name waits."""
MAX_FAILURES_OF_ADDRESS: Final = 30
"""After so many from one address, for whatever names, that address waits. People behind one router share it."""


class TooManyAttempts(Exception):
    """Too many failures; `retry_after` seconds from now the next attempt is looked at."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many failed attempts; wait {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Attempt:
    """One stored attempt, to be taken back when it turns out well."""

    attempt_id: int
    name_key: str
    address: str


def begin_attempt(store: Store, name: str, address: str) -> Attempt:
    """Counts an attempt as failed until `forgive`. Raises TooManyAttempts, and then it does not count."""
    now, name_key = store.now(), _key_of(name)

    def add(connection: Connection) -> int:
        # None is of use once its window has passed.
        connection.execute(
            delete(login_attempts).where(login_attempts.c.attempted_at <= now - WINDOW_SECONDS)
        )
        row = {"name": name_key, "address": address, "attempted_at": now, "succeeded": False}
        adding = insert(login_attempts).values(**row).returning(login_attempts.c.attempt_id)
        return int(connection.execute(adding).scalar_one())

    attempt = Attempt(store.write(add), name_key, address)
    # Counted in a transaction of its own, which sees whatever others have added by then.
    limits = [(login_attempts.c.address == address, MAX_FAILURES_OF_ADDRESS)]
    if name:
        limits.append((login_attempts.c.name == name_key, MAX_FAILURES_OF_NAME))
    waits = [_seconds_to_wait(store, now, whose, limit) for whose, limit in limits]
    if any(waits):
        store.write(lambda connection: _remove(connection, login_attempts.c.attempt_id == attempt.attempt_id))
        raise TooManyAttempts(max(waits))
    return attempt


def forgive(connection: Connection, attempt: Attempt) -> None:
    """After a success: what this person mistyped from here counts no more. Guesses from elsewhere do."""
    _remove(
        connection,
        and_(login_attempts.c.name == attempt.name_key, login_attempts.c.address == attempt.address),
    )


def sign_in(store: Store, name: str, password: str, *, address: str, session_length: timedelta) -> str | None:
    """The secret of a new session, or None when name and password do not belong together.

    Unknown names, disabled people and wrong passwords are not told apart, neither by the answer nor by its time.
    Raises TooManyAttempts.
    """
    name = name.strip()
    attempt = begin_attempt(store, name, address)
    with store.reading() as connection:
        account = account_named(connection, name)  # one look-up by key, whether there is such a name or not
    person, password_hash = (account.annotator, account.password_hash) if account else (None, None)
    matches = is_password(password, password_hash)

    def finish(connection: Connection) -> str | None:
        if person is None or not matches or not _is_still_so(connection, person, password_hash):
            # What was typed as a name is kept only where it is one: people type passwords there.
            subject = person.name if person is not None else "(unknown name)"
            audit.note(connection, store.now(), "sign_in_failed", by=Actor(address=address), subject=subject)
            return None
        forgive(connection, attempt)
        by = Actor(person.annotator_id, address)
        audit.note(connection, store.now(), "signed_in", by=by, subject=person.name)
        now = store.now()
        return begin_session(connection, now, person.annotator_id, kind="password", length=session_length)

    return store.write(finish)


def _is_still_so(connection: Connection, person: Annotator, password_hash: str | None) -> bool:
    """Whether nobody disabled the person or changed the password while it was being looked at; locks the row."""
    allowed = (
        select(annotators.c.annotator_id)
        .where(annotators.c.annotator_id == person.annotator_id, annotators.c.disabled_at.is_(None))
        .where(annotators.c.password_hash == password_hash)
        .with_for_update()
    )
    return connection.scalar(allowed) is not None


def _key_of(name: str) -> str:
    """The name as it is counted: people type passwords there too, so it is not stored as it is."""
    return hashlib.sha256(name_key(name).encode("utf-8", "surrogatepass")).hexdigest()


def _seconds_to_wait(store: Store, now: float, whose: ColumnElement[bool], limit: int) -> int:
    """0, or the seconds until so many failures have left the window that one more may be made."""
    newest = (
        select(login_attempts.c.attempted_at)
        .where(whose, login_attempts.c.attempted_at > now - WINDOW_SECONDS)
        .order_by(login_attempts.c.attempted_at.desc())
        .limit(limit + 1)
    )
    with store.reading() as connection:
        times = list(connection.scalars(newest))
    return max(1, math.ceil(times[-1] + WINDOW_SECONDS - now)) if len(times) > limit else 0


def _remove(connection: Connection, which: ColumnElement[bool]) -> None:
    connection.execute(delete(login_attempts).where(which))
