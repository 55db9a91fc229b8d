"""Invites: a secret address, told once, by which a person sets their password, once, before it ends."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, select, update

from posttrain.errors import ConfigError
from posttrain.preferences.store import audit
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.people import change_annotator, find_annotator
from posttrain.preferences.store.schema import annotators
from posttrain.preferences.store.sessions import end_all_sessions, hash_of_secret

INVITE_LENGTH: Final = timedelta(days=7)


def invite(store: Store, name: str, *, by: Actor, length: timedelta = INVITE_LENGTH) -> str:
    """The secret of a new invite, told once: who has it may set this person's password, once, within `length`.

    An earlier invite ends; a password and sessions stay until the invite is used. ConfigError for an unknown or
    disabled person.
    """
    secret = secrets.token_urlsafe(32)

    def change(connection: Connection) -> None:
        person = find_annotator(connection, name)
        if person.disabled_at is not None:
            raise ConfigError(
                f"{person.name} is disabled; enable them first: posttrain annotators enable {person.name!r}"
            )
        expires_at = store.now() + length.total_seconds()
        change_annotator(connection, person, invite_hash=hash_of_secret(secret), invite_expires_at=expires_at)
        audit.note(connection, store.now(), "invited", by=by, subject=person.name)

    store.write(change)
    return secret


def invited_name(store: Store, secret: str) -> str | None:
    """Whom an invite is for; None when it was used, has ended or never was."""
    with store.reading() as connection:
        return connection.scalar(select(annotators.c.name).where(*_is_open_invite(secret, store.now())))


def accept_invite(
    connection: Connection, now: float, secret: str, password_hash: str, *, address: str
) -> int | None:
    """Sets the password of the person whose number is returned, ends their invite and sessions; None: it is not open.

    Of two who use one invite at once a single one gets in: the row is changed only while it has the invite.
    """
    changed = connection.execute(
        update(annotators)
        .where(*_is_open_invite(secret, now))
        .values(password_hash=password_hash, invite_hash=None, invite_expires_at=None)
        .returning(annotators.c.annotator_id, annotators.c.name)
    ).one_or_none()
    if changed is None:
        return None
    end_all_sessions(connection, changed.annotator_id)
    by = Actor(changed.annotator_id, address)
    audit.note(connection, now, "password_set", by=by, subject=changed.name)
    return int(changed.annotator_id)


def _is_open_invite(secret: str, now: float) -> tuple[Any, ...]:
    return (
        annotators.c.invite_hash == hash_of_secret(secret),
        annotators.c.invite_expires_at > now,
        annotators.c.disabled_at.is_(None),
    )
