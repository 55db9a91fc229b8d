"""The people of a store: who there is, and adding somebody. `people_changes` and `invites` change what they may do."""

from __future__ import annotations

import difflib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, exists, insert, or_, select, update
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


def add_annotator(store: Store, name: str, role: str, *, by: Actor) -> Annotator:
    """A new person, who cannot sign in before there is an invite or a password.

    ConfigError for a name that is taken (capitals do not tell names apart) or cannot be one, and for no role.
    """
    name, role = checked_name(name), checked_role(role)

    def add(connection: Connection) -> Annotator:
        taken = next((p.name for p in _all(connection) if p.name.casefold() == name.casefold()), None)
        if taken is not None:
            raise ConfigError(
                f"there is an annotator called {taken!r} already. Take another name, or give that person a new "
                f"invite: posttrain annotators invite {taken!r}"
            )
        connection.execute(
            insert(annotators).values(
                name=name, role=role, created_at=store.now(), shuffle_seed=secrets.randbits(53)
            )
        )
        audit.note(connection, store.now(), "annotator_added", by=by, subject=name, details={"role": role})
        return find_annotator(connection, name)

    try:
        return store.write(add)
    except IntegrityError:
        raise ConfigError(
            f"an annotator called {name!r} was added at this very moment by somebody else."
        ) from None


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
    can = or_(annotators.c.password_hash.is_not(None), annotators.c.invite_expires_at > store.now())
    with store.reading() as connection:
        return bool(connection.scalar(select(exists().where(can, annotators.c.disabled_at.is_(None)))))


def person_at_this_machine(store: Store, name: str, *, by: Actor) -> Annotator:
    """The admin who opens the printed address, added at the first time.

    ConfigError where the name is that of somebody who is no admin, or disabled: a name alone raises nobody's rights.
    """
    name = checked_name(name)
    known = {person.name.casefold(): person for person in list_annotators(store)}
    person = known.get(name.casefold())
    if person is None:
        return add_annotator(store, name, "admin", by=by)
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
    name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= _MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be an annotator's name: take 1 to {_MAX_NAME_LENGTH} letters, digits, spaces "
            "and any of @ + . ' - _"
        )
    return name


def name_key(name: str) -> str:
    """The same for all the ways in which a name may be typed to find its person."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def find_annotator(connection: Connection, name: str) -> Annotator:
    """The person of this name, whatever its capitals. ConfigError that says the nearest name when there is none."""
    known = _all(connection)
    wanted = name_key(name)
    person = next((person for person in known if person.name.casefold() == wanted), None)
    if person is None:
        near = difflib.get_close_matches(name, [person.name for person in known], n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"there is no annotator called {name!r}.{hint} posttrain annotators list shows who there is."
        )
    return person


def change_annotator(connection: Connection, person: Annotator, **values: Any) -> None:
    """Sets columns of a person's row."""
    connection.execute(
        update(annotators).where(annotators.c.annotator_id == person.annotator_id).values(**values)
    )


def _all(connection: Connection) -> list[Annotator]:
    # Names are compared here and not in SQL: SQLite knows capitals of ASCII alone.
    rows = connection.execute(select(annotators).order_by(annotators.c.annotator_id)).mappings()
    return [
        Annotator(
            annotator_id=row["annotator_id"],
            name=row["name"],
            role=row["role"],
            created_at=row["created_at"],
            has_password=row["password_hash"] is not None,
            invite_expires_at=row["invite_expires_at"],
            disabled_at=row["disabled_at"],
        )
        for row in rows
    ]
