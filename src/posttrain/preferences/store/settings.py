"""Settings that belong to a store, so that every server of it hands out items alike."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select, update

from posttrain.errors import ConfigError
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import queue_entries, settings
from posttrain.preferences.store.statements import insert_or_update

_QUEUE_VERSION: Final = "queue_version"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How items are handed out. ConfigError for numbers that cannot work."""

    overlap: int = 1
    """How many people judge each item, unless the item says otherwise."""
    gold_every: int = 0
    """One of so many items that a person gets has a known answer; 0: none has."""
    lease_seconds: float = 1800.0
    """How long an item is kept for the person who has it open; the page renews it while they work."""

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise ConfigError(f"overlap is {self.overlap}; at least 1 person judges each item")
        if self.gold_every < 0:
            raise ConfigError(f"gold_every is {self.gold_every}; it is 0 (never) or one in so many items")
        if not self.lease_seconds > 0:
            raise ConfigError(f"lease_seconds is {self.lease_seconds}; it must be above 0")


def queue_settings(store: Store) -> QueueSettings:
    """What holds for this store now."""
    with store.reading() as connection:
        return read_queue_settings(connection)[0]


def change_queue_settings(
    store: Store,
    *,
    overlap: int | None = None,
    gold_every: int | None = None,
    lease_seconds: float | None = None,
) -> QueueSettings:
    """The settings that hold from now on; None leaves one as it is.

    A raised overlap opens items again that had enough judges, a lowered one closes items; leases stay.
    """
    changes = {"overlap": overlap, "gold_every": gold_every, "lease_seconds": lease_seconds}
    wanted = {name: value for name, value in changes.items() if value is not None}

    def change(connection: Connection) -> QueueSettings:
        before, _ = read_queue_settings(connection)
        after = QueueSettings(**{**asdict(before), **wanted})
        for name in wanted:
            write_setting(connection, name, getattr(after, name))
        if after.overlap != before.overlap:
            open_and_close(connection, after.overlap)
        return after

    return store.write(change)


def read_settings(connection: Connection) -> dict[str, Any]:
    """Everything that was ever set, by name."""
    return {row.key: row.value for row in connection.execute(select(settings))}


def write_setting(connection: Connection, key: str, value: Any) -> None:
    """Keep a value (anything JSON can say) under a name; of two writers the last one wins."""
    insert_or_update(connection, settings, {"key": key, "value": value})


def read_queue_settings(connection: Connection) -> tuple[QueueSettings, int]:
    """The queue's settings, and its version: another number whenever cursors in the queue are void."""
    found = read_settings(connection)
    names = [field.name for field in fields(QueueSettings)]
    read = QueueSettings(**{name: found[name] for name in names if name in found})
    return read, found.get(_QUEUE_VERSION, 0)


def renew_queue_version(connection: Connection) -> None:
    """Say that an item may have appeared before places in the queue that people have passed."""
    # Drawn instead of counted: nothing has to be read first, and two at once cannot agree on one number.
    write_setting(connection, _QUEUE_VERSION, secrets.randbits(53))


def open_and_close(connection: Connection, overlap: int) -> None:
    """Open the items that want more judges than they have, close the others; items with a known answer stay open."""
    wants_more = or_(
        queue_entries.c.is_gold,
        queue_entries.c.num_judges < func.coalesce(queue_entries.c.overlap, overlap),
    )
    connection.execute(
        update(queue_entries).where(queue_entries.c.is_open != wants_more).values(is_open=wants_more)
    )
    renew_queue_version(connection)
