"""What changes about people: password, role, whether they are let in. Each change is noted in the audit log."""

from __future__ import annotations

from sqlalchemy import Connection, select

from posttrain.errors import ConfigError
from posttrain.preferences.store import audit
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.passwords import hash_of_password
from posttrain.preferences.store.people import (
    Annotator,
    can_come_in,
    change_annotator,
    checked_role,
    find_annotator,
)
from posttrain.preferences.store.schema import annotators
from posttrain.preferences.store.sessions import end_all_sessions


def set_password(store: Store, name: str, password: str, *, by: Actor) -> None:
    """Sets a person's password and ends their invite and sessions. ConfigError for a password that is too weak."""
    password_hash = hash_of_password(password, name=name)

    def change(connection: Connection) -> None:
        person = find_annotator(connection, name)
        change_annotator(
            connection, person, password_hash=password_hash, invite_hash=None, invite_expires_at=None
        )
        end_all_sessions(connection, person.annotator_id)
        audit.note(connection, store.now(), "password_set", by=by, subject=person.name)

    store.write(change)


def change_role(store: Store, name: str, role: str, *, by: Actor) -> None:
    """Gives a person another role, from their next request on.

    ConfigError on the page when no admin who can sign in would be left.
    """
    role = checked_role(role)

    def change(connection: Connection) -> None:
        person = find_annotator(connection, name)
        if person.role == role:
            return
        if person.role == "admin" and by.annotator_id is not None:
            _keep_an_admin(connection, person, store.now())
        change_annotator(connection, person, role=role)
        details = {"from": person.role, "to": role}
        audit.note(connection, store.now(), "role_changed", by=by, subject=person.name, details=details)

    store.write(change)


def disable(store: Store, name: str, *, by: Actor) -> None:
    """Lets a person in no more: sessions and invites end now, judgements stay.

    ConfigError for the last admin who can sign in, unless it is done at a command line, where another one can be
    made.
    """

    def change(connection: Connection) -> None:
        person = find_annotator(connection, name)
        if person.disabled_at is not None:
            return
        if person.role == "admin" and by.annotator_id is not None:
            _keep_an_admin(connection, person, store.now())
        change_annotator(
            connection, person, disabled_at=store.now(), invite_hash=None, invite_expires_at=None
        )
        end_all_sessions(connection, person.annotator_id)
        audit.note(connection, store.now(), "disabled", by=by, subject=person.name)

    store.write(change)


def enable(store: Store, name: str, *, by: Actor) -> None:
    """Lets a disabled person in again, with the password they had."""

    def change(connection: Connection) -> None:
        person = find_annotator(connection, name)
        if person.disabled_at is not None:
            change_annotator(connection, person, disabled_at=None)
            audit.note(connection, store.now(), "enabled", by=by, subject=person.name)

    store.write(change)


def _keep_an_admin(connection: Connection, leaving: Annotator, now: float) -> None:
    """ConfigError when nobody else could manage people. Locks the admins, so that two cannot leave at once."""
    admins = connection.execute(
        select(annotators.c.annotator_id, can_come_in(now).label("can_come_in"))
        .where(annotators.c.role == "admin", annotators.c.disabled_at.is_(None))
        .with_for_update()
    ).all()
    # Who has neither a password nor an open invite keeps nothing running, and leaving takes nothing away.
    if {admin.annotator_id for admin in admins if admin.can_come_in} == {leaving.annotator_id}:
        raise ConfigError(
            f"{leaving.name} is the last admin who can sign in, and nobody could let people in afterwards. Invite "
            "another admin first, or give somebody who signs in that role; or do this in the terminal, with "
            "posttrain annotators."
        )
