"""Walking along the queue, past what one person has done, without looking at all of it each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import CTE, Connection, exists, func, select, tuple_

from posttrain.preferences.store.schema import current_judgements, leases, queue_entries

_FIRST_WINDOW: Final = 64
_LARGEST_WINDOW: Final = 32_768
_PAGE: Final = 64


class Place(NamedTuple):
    """A place in the queue: `queue_key` ascending, then the order of import."""

    queue_key: float
    item_id: int


START: Final = Place(-1e308, 0)


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An open item that this person has not done; `is_free` says whether it has a place left for them."""

    place: Place
    is_free: bool


class OpenItems:
    """The open items behind the place `passed` that the person has not done, in the order of the queue.

    `passed` grows with the walk: all open items up to it are done by the person.
    """

    def __init__(
        self, connection: Connection, annotator_id: int, passed: Place, overlap: int, now: float
    ) -> None:
        self.passed = passed
        self._connection = connection
        self._annotator_id = annotator_id
        self._overlap = overlap
        self._now = now

    def pages(self) -> Iterator[list[OpenItem]]:
        """A few dozen at a time; no page is empty.

        Windows of the queue, larger ones where much is done already, keep the database from sorting or joining
        everything for one item.
        """
        behind, num_in_window, found_any = self.passed, _FIRST_WINDOW, False
        while True:
            page = self._page(behind, num_in_window)
            if page and not found_any:
                found_any = True
                first = page[0].place
                self.passed = Place(first.queue_key, first.item_id - 1)
            if page:
                yield page
            if len(page) == _PAGE:
                behind = page[-1].place
                continue
            end = self._end_of_window(behind, num_in_window)
            if end is None:
                return
            behind, num_in_window = end, min(8 * num_in_window, _LARGEST_WINDOW)
            if not found_any:
                self.passed = end

    def _window(self, behind: Place, num_items: int) -> CTE:
        entries = queue_entries.c
        return (
            select(entries.queue_key, entries.item_id, entries.num_judges, entries.overlap)
            .where(
                entries.is_open,
                ~entries.is_gold,
                tuple_(entries.queue_key, entries.item_id) > tuple_(*behind),
            )
            .order_by(entries.queue_key, entries.item_id)
            .limit(num_items)
            .cte("stretch")
            .prefix_with("MATERIALIZED")
        )

    def _page(self, behind: Place, num_items: int) -> list[OpenItem]:
        window = self._window(behind, num_items)
        done = exists().where(
            current_judgements.c.annotator_id == self._annotator_id,
            current_judgements.c.item_id == window.c.item_id,
        )
        taken = (
            select(func.count())
            .select_from(leases)
            .where(
                leases.c.item_id == window.c.item_id,
                leases.c.expires_at > self._now,
                leases.c.annotator_id != self._annotator_id,
            )
            .scalar_subquery()
        )
        is_free = window.c.num_judges + taken < func.coalesce(window.c.overlap, self._overlap)
        statement = (
            select(window.c.queue_key, window.c.item_id, is_free.label("is_free"))
            .where(~done)
            .order_by(window.c.queue_key, window.c.item_id)
            .limit(_PAGE)
        )
        return [
            OpenItem(Place(row.queue_key, row.item_id), bool(row.is_free))
            for row in self._connection.execute(statement)
        ]

    def _end_of_window(self, behind: Place, num_items: int) -> Place | None:
        window = self._window(behind, num_items)
        row = self._connection.execute(
            select(window.c.queue_key, window.c.item_id)
            .order_by(window.c.queue_key.desc(), window.c.item_id.desc())
            .limit(1)
        ).one_or_none()
        return None if row is None else Place(row.queue_key, row.item_id)
