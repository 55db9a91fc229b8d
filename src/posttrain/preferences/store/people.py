"""The people of a store: who there is, and adding somebody. `people_changes` and `invites` change what they may do."""

from __future__ import annotations

import difflib
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from posttrain.errors import ConfigError
from posttrain.preferences.store import audit
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import annotators

AnnotatorRole = Literal["annotator", "reviewer", "admin"]
"""Annotators rank; reviewers also see everybody's work and settle disagreements; admins also decide who comes in."""

_NAME: Final = re.compile(r"[\w@+.'-]+(?: [\w@+.'-]+)*")
_MAX_NAME_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Annotator:
    """A person. Times are seconds since 1970; `invite_expires_at` is None when no invite is open."""

    annotator_id: int
    name: str
    role: AnnotatorRole
    created_at: float
    has_password: bool
    invite_expires_at: float | None
    disabled_at: float | None

    def state(self, now: float) -> str:
        """In a few words whether the person can come in: "disabled", "active", "invited" or another."""
        if self.disabled_at is not None:
            return "disabled"
        if self.has_password:
            return "active"
        if self.invite_expires_at is None:
            return "no password"
        return "invited" if self.invite_expires_at > now else "invite expired"


@dataclass(frozen=True, slots=True)
class Account:
    """A person with the hash of their password, None where they have none."""

    annotator: Annotator
    password_hash: str | None = field(repr=False)


def add_annotator(store: Store, name: str, role: str, *, by: Actor) -> Annotator:
    """A new person, who cannot sign in before there is an invite or a password.

    ConfigError for a name that is taken (capitals do not tell names apart) or cannot be one, and for no role.
    """
    name, role = checked_name(name), checked_role(role)

    def add(connection: Connection) -> Annotator:
        if (taken := account_named(connection, name)) is not None:
            raise _taken(taken.annotator.name)
        connection.execute(
            insert(annotators).values(
                name=name,
                name_key=name_key(name),
                role=role,
                created_at=store.now(),
                shuffle_seed=secrets.randbits(53),
            )
        )
        audit.note(connection, store.now(), "annotator_added", by=by, subject=name, details={"role": role})
        return find_annotator(connection, name)

    try:
        return store.write(add)
    except IntegrityError:  # another server was faster, which it could be in PostgreSQL
        raise _taken(annotator_named(store, name).name) from None


def list_annotators(store: Store) -> list[Annotator]:
    """Everybody, in the order they were added."""
    with store.reading() as connection:
        return _all(connection)


def annotator_named(store: Store, name: str) -> Annotator:
    """The person of this name. ConfigError that says the nearest name when there is none."""
    with store.reading() as connection:
        return find_annotator(connection, name)


def somebody_can_sign_in(store: Store) -> bool:
    """Whether anybody has a password or an open invite, so that a server for other machines has a use."""
    can = can_come_in(store.now())
    with store.reading() as connection:
        return bool(connection.scalar(select(exists().where(can, annotators.c.disabled_at.is_(None)))))


def can_come_in(now: float) -> ColumnElement[bool]:
    """Condition on people: they have a password or an open invite. Those who are disabled may have them too."""
    return or_(annotators.c.password_hash.is_not(None), annotators.c.invite_expires_at > now)


def person_at_this_machine(store: Store, name: str, *, by: Actor) -> Annotator:
    """The admin who opens the printed address, added at the first time.

    ConfigError where the name is that of somebody who is no admin, or disabled: a name alone raises nobody's rights.
    """
    name = checked_name(name)
    with store.reading() as connection:
        account = account_named(connection, name)
    if account is None:
        return add_annotator(store, name, "admin", by=by)
    person = account.annotator
    if person.disabled_at is not None or person.role != "admin":
        what = "disabled" if person.disabled_at is not None else f"known as {person.role}"
        raise ConfigError(
            f"{person.name} is {what} in this store, and who opens the printed address is an admin. Take another name: "
            "--annotator NAME"
        )
    return person


def checked_role(role: str) -> AnnotatorRole:
    """The role, if it is one. ConfigError that names the nearest one."""
    for known in get_args(AnnotatorRole):
        if role == known:
            return known  # type: ignore[no-any-return]
    near = difflib.get_close_matches(role, get_args(AnnotatorRole), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{role!r} is no role; choose one of {', '.join(get_args(AnnotatorRole))}.{hint}")


def checked_name(name: str) -> str:
    """The name as it is stored. ConfigError for one that is empty, too long or has signs that could mislead."""
    name = _normal(name)
    if not may_be_name(name):
        raise ConfigError(
            f"{name!r} cannot be an annotator's name: take 1 to {_MAX_NAME_LENGTH} letters, digits, spaces "
            "and any of @ + . ' - _"
        )
    return name


def may_be_name(name: str) -> bool:
    """Whether somebody can be called so: the right signs, and not too many of them."""
    name = _normal(name)
    return 1 <= len(name) <= _MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def name_key(name: str) -> str:
    """The same for all the ways in which a name may be typed to find its person."""
    # Names are compared by this and not in SQL: SQLite knows capitals of ASCII alone.
    return _normal(name).casefold()


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def account_named(connection: Connection, name: str) -> Account | None:
    """The account that this name, however spelled, stands for; None where there is none, in the same time."""
    if not may_be_name(name):  # before the database, which does not take every text
        return None
    row = connection.execute(select(annotators).where(annotators.c.name_key == name_key(name))).one_or_none()
    return None if row is None else Account(_annotator(row), row.password_hash)


def find_annotator(connection: Connection, name: str) -> Annotator:
    """The person of this name, whatever its capitals. ConfigError that says the nearest name when there is none."""
    account = account_named(connection, name)
    if account is None:
        near = difflib.get_close_matches(
            name[:_MAX_NAME_LENGTH], [person.name for person in _all(connection)], n=1
        )
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"there is no annotator called {name!r}.{hint} posttrain annotators list shows who there is."
        )
    return account.annotator


def change_annotator(connection: Connection, person: Annotator, **values: Any) -> None:
    """Sets columns of a person's row."""
    connection.execute(
        update(annotators).where(annotators.c.annotator_id == person.annotator_id).values(**values)
    )


def _taken(name: str) -> ConfigError:
    return ConfigError(
        f"there is an annotator called {name!r} already. Take another name, or give that person a new "
        f"invite: posttrain annotators invite {name!r}"
    )


def _all(connection: Connection) -> list[Annotator]:
    rows = connection.execute(select(annotators).order_by(annotators.c.annotator_id))
    return [_annotator(row) for row in rows]


def _annotator(row: Row[Any]) -> Annotator:
    return Annotator(
        annotator_id=row.annotator_id,
        name=row.name,
        role=row.role,
        created_at=row.created_at,
        has_password=row.password_hash is not None,
        invite_expires_at=row.invite_expires_at,
        disabled_at=row.disabled_at,
    )
