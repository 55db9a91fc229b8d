"""The audit log: who did what to whom, when and from where. Entries are only ever added.

An entry is written in the transaction of what it tells, so neither is stored without the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import annotators, audit_log

ACTIONS: Final = (
    "signed_in",
    "sign_in_failed",
    "signed_out",
    "annotator_added",
    "invited",
    "password_set",
    "role_changed",
    "disabled",
    "enabled",
    "settings_changed",
    "guidelines_published",
    "imported",
    "exported",
    "queue_changed",
)
"""What is logged."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: an annotator on the page from an address, or somebody at a command line."""

    annotator_id: int | None = None
    address: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of them; goes into the entry's details."""


def at_command_line(login_name: str) -> Actor:
    """Somebody who has the store at hand, called by the name they have on their machine."""
    return Actor(details={"command_line_of": login_name})


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log. `annotator` is who did it (None: nobody was signed in), `subject` what it was done to."""

    entry_id: int
    happened_at: float
    annotator: str | None
    action: str
    subject: str
    address: str
    details: Mapping[str, Any]


def note(
    connection: Connection,
    happened_at: float,
    action: str,
    *,
    by: Actor,
    subject: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds an entry, within the transaction of `connection`. ValueError for an action that is not in ACTIONS."""
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is no action of the audit log; add it to ACTIONS")
    connection.execute(
        insert(audit_log).values(
            happened_at=happened_at,
            annotator_id=by.annotator_id,
            action=action,
            subject=subject,
            address=by.address,
            details={**by.details, **(details or {})},
        )
    )


def note_alone(
    store: Store, action: str, *, by: Actor, subject: str = "", details: Mapping[str, Any] | None = None
) -> None:
    """Adds an entry for something that changed nothing in the store, such as an export."""
    store.write(
        lambda connection: note(connection, store.now(), action, by=by, subject=subject, details=details)
    )


def audit_entries(
    store: Store, *, before: int | None = None, action: str | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The newest entries first, at most `limit`: those before an entry's number, of one action or of all."""
    query = (
        select(audit_log, annotators.c.name)
        .select_from(audit_log.outerjoin(annotators))
        .order_by(audit_log.c.entry_id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(audit_log.c.entry_id < before)
    if action is not None:
        query = query.where(audit_log.c.action == action)
    with store.reading() as connection:
        return list(_entries(connection.execute(query).mappings()))


def _entries(rows: Any) -> Iterator[AuditEntry]:
    for row in rows:
        yield AuditEntry(
            entry_id=row["entry_id"],
            happened_at=row["happened_at"],
            annotator=row["name"],
            action=row["action"],
            subject=row["subject"],
            address=row["address"],
            details=row["details"],
        )
