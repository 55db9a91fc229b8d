"""Items into the store and out of it. Their content never changes; `targeting` changes their place in the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, exists, func, insert, select

from posttrain.preferences.store import postgresql
from posttrain.preferences.store.chunks import in_chunks
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import UnknownItem
from posttrain.preferences.store.item_content import CheckedItem, check_item, refused
from posttrain.preferences.store.public_ids import new_public_ids
from posttrain.preferences.store.records import Item, NewItem
from posttrain.preferences.store.schema import items, queue_entries, responses
from posttrain.preferences.store.settings import read_queue_settings, renew_queue_version
from posttrain.types import Message

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Added:
    """How many items came in, and how many were there before with the same content."""

    num_added: int
    num_known: int


def add_items(store: Store, new_items: Iterable[NewItem], *, source: str = "") -> Added:
    """Put items at the end of the queue, in order; those that are there already with the same content stay.

    `source` says where they come from. DataError names an item that cannot be stored, or whose `external_id` has
    other content in the store; then nothing was added.
    """
    checked = [check_item(item) for item in new_items]
    with store.reading() as connection:
        _only_new(connection, checked)  # what cannot be added is said before anything is
    num_added = 0
    for chunk in in_chunks(checked, _AT_ONCE):

        def add(connection: Connection, chunk: list[CheckedItem] = chunk) -> int:
            postgresql.lock(connection, postgresql.LOCK_OF_IMPORTS)
            fresh = _only_new(connection, chunk)
            _insert(connection, fresh, source, store.now())
            return len(fresh)

        num_added += store.write(add)
    return Added(num_added=num_added, num_known=len(checked) - num_added)


def get_item(store: Store, item_id: int) -> Item:
    """The item of that number. UnknownItem where there is none."""
    with store.reading() as connection:
        return read_item(connection, item_id)


def item_number(store: Store, external_id: str) -> int | None:
    """The number of the item that is called so outside; None where there is none."""
    with store.reading() as connection:
        return connection.scalar(select(items.c.item_id).where(items.c.external_id == external_id))


def item_numbers(store: Store, external_ids: Iterable[str]) -> dict[str, int]:
    """The numbers of the items that are called so outside; those that do not exist are left out."""
    found: dict[str, int] = {}
    with store.reading() as connection:
        for chunk in in_chunks(external_ids, _AT_ONCE):
            statement = select(items.c.external_id, items.c.item_id).where(items.c.external_id.in_(chunk))
            found |= {row.external_id: row.item_id for row in connection.execute(statement)}
    return found


def iterate_items(store: Store) -> Iterator[Item]:
    """All items in the order of import, a few hundred in memory at a time; those added meanwhile may come too."""
    last = 0
    while True:
        with store.reading() as connection:
            chunk = _read(connection, _all_columns().where(items.c.item_id > last).limit(_AT_ONCE))
        if not chunk:
            return
        yield from chunk
        last = chunk[-1].item_id


def read_item(connection: Connection, item_id: int, overlap: int | None = None) -> Item:
    """As `get_item`, in the caller's transaction. `overlap` is the store's, where it is known already."""
    found = _read(connection, _all_columns().where(items.c.item_id == item_id), overlap)
    if not found:
        raise UnknownItem(f"there is no item {item_id} in this store")
    return found[0]


def read_items(connection: Connection, item_ids: Sequence[int]) -> dict[int, Item]:
    """The items of these numbers, by number; those that do not exist are left out."""
    found: dict[int, Item] = {}
    for chunk in in_chunks(item_ids, _AT_ONCE):
        found |= {
            item.item_id: item for item in _read(connection, _all_columns().where(items.c.item_id.in_(chunk)))
        }
    return found


def _all_columns() -> Select[Any]:
    return (
        select(items, queue_entries)
        .join(queue_entries, queue_entries.c.item_id == items.c.item_id)
        .order_by(items.c.item_id)
    )


def _read(connection: Connection, statement: Select[Any], overlap: int | None = None) -> list[Item]:
    rows = connection.execute(statement).all()
    if not rows:
        return []
    overlap = overlap or read_queue_settings(connection)[0].overlap
    of_item: dict[int, list[Row[Any]]] = {row[0]: [] for row in rows}
    written = (
        select(responses)
        .where(responses.c.item_id.in_(list(of_item)))
        .order_by(responses.c.item_id, responses.c.position)
    )
    for response in connection.execute(written):
        of_item[response.item_id].append(response)
    return [_item(row, of_item[row[0]], overlap) for row in rows]


def _item(row: Row[Any], written: list[Row[Any]], overlap: int) -> Item:
    values = row._mapping
    reasons = tuple(response.finish_reason for response in written)
    models = tuple(response.model for response in written)
    gold_ranks, own_overlap = values[items.c.gold_ranks], values[queue_entries.c.overlap]
    return Item(
        item_id=values[items.c.item_id],
        public_id=values[items.c.public_id],
        external_id=values[items.c.external_id],
        prompt=_prompt(values[items.c.prompt]),
        responses=tuple(response.text for response in written),
        finish_reasons=reasons if any(reasons) else (),
        models=models if any(models) else (),
        columns=values[items.c.columns],
        gold_ranks=None if gold_ranks is None else tuple(gold_ranks),
        priority=0.0 - values[queue_entries.c.queue_key],  # 0.0 rather than -0.0
        queue=values[queue_entries.c.queue],
        overlap=overlap if own_overlap is None else own_overlap,
        own_overlap=own_overlap,
        num_judges=values[queue_entries.c.num_judges],
        is_open=values[queue_entries.c.is_open],
    )


def _prompt(stored: str | list[dict[str, str]]) -> str | tuple[Message, ...]:
    if isinstance(stored, str):
        return stored
    return tuple(Message(role=message["role"], content=message["content"]) for message in stored)


def _only_new(connection: Connection, checked: Sequence[CheckedItem]) -> list[CheckedItem]:
    """Those that are not in the store, each once. DataError where one is there with other content."""
    known: dict[str, str] = {}
    for chunk in in_chunks([one.item.external_id for one in checked], _AT_ONCE):
        statement = select(items.c.external_id, items.c.content_hash).where(items.c.external_id.in_(chunk))
        known |= {row.external_id: row.content_hash for row in connection.execute(statement)}
    fresh = []
    for one in checked:
        name = one.item.external_id
        if name not in known:
            known[name] = one.content_hash
            fresh.append(one)
        elif known[name] != one.content_hash:
            raise refused(
                one.item,
                "is there already with other content. Items never change, because judgements refer to them: "
                "give the new one another id.",
            )
    return fresh


def _insert(connection: Connection, fresh: list[CheckedItem], source: str, now: float) -> None:
    if not fresh:
        return
    start = 1 + (connection.scalar(select(func.max(items.c.item_id))) or 0)
    numbered = list(enumerate(fresh, start=start))
    public_ids = new_public_ids(connection, len(fresh))
    # RETURNING makes SQLAlchemy send many rows in one statement, which PostgreSQL's driver does not do by itself.
    connection.execute(
        insert(items).returning(items.c.item_id),
        [
            {
                "item_id": number,
                "external_id": one.item.external_id,
                "public_id": public_id,
                "content_hash": one.content_hash,
                "prompt": one.item.prompt,
                "columns": dict(one.item.columns),
                "gold_ranks": one.item.gold_ranks,
                "source": source,
                "added_at": now,
            }
            for (number, one), public_id in zip(numbered, public_ids, strict=True)
        ],
    )
    connection.execute(
        insert(responses).returning(responses.c.item_id),
        [
            {"item_id": number, "position": position, "text": text, "finish_reason": reason, "model": model}
            for number, one in numbered
            for position, (text, reason, model) in enumerate(
                zip(one.item.responses, one.finish_reasons, one.models, strict=True)
            )
        ],
    )
    connection.execute(
        insert(queue_entries).returning(queue_entries.c.item_id),
        [
            {
                "item_id": number,
                "queue_key": 0.0,
                "queue": "",
                "is_gold": one.item.gold_ranks is not None,
                "overlap": one.item.overlap,
                "num_judges": 0,
                "is_open": True,
            }
            for number, one in numbered
        ],
    )
    # Items of a low priority now stand behind the new ones, and people may have got as far as them.
    if connection.scalar(select(exists().where(queue_entries.c.queue_key > 0))):
        renew_queue_version(connection)
