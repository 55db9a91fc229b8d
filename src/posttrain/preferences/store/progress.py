"""How far the work is: of one person, and of all."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, func, select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.item_places import ItemPlaces
from posttrain.preferences.store.schema import current_judgements, judgements, leases, queue_entries
from posttrain.preferences.store.settings import read_queue_settings


@dataclass(frozen=True, slots=True)
class AnnotatorProgress:
    """What one person has done: current judgements by kind, and the items that they have not done and that want judges.

    Items with a known answer count like all others in every number, for as long as such items are handed out: a person
    who watches the numbers learns nothing of what they were given. Others may be at some of the open ones now.
    """

    num_ranked: int
    num_cannot_rank: int
    num_skipped: int
    num_open: int

    @property
    def num_judged(self) -> int:
        """Items that this person ranked or said cannot be ranked."""
        return self.num_ranked + self.num_cannot_rank

    @property
    def num_items(self) -> int:
        """All that this person has done or may still get."""
        return self.num_judged + self.num_skipped + self.num_open


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """What all have done of the ordinary items; those with a known answer are counted in `num_gold` alone.

    `num_wanted` sums what each item wants, `num_judged` the judgements of them that count towards it.
    `num_over_overlap` counts judgements beyond what their item wanted: somebody submitted after the lease expired,
    a reviewer settled, or the wish was lowered.
    """

    num_items: int
    num_gold: int
    num_closed: int
    num_wanted: int
    num_judged: int
    num_over_overlap: int
    num_leased: int
    num_judgements: int
    """Everything ever submitted, replaced ones and skips included."""


def annotator_progress(store: Store, annotator_id: int) -> AnnotatorProgress:
    """The person's counts now."""
    by_kind = (
        select(current_judgements.c.kind, func.count())
        .where(current_judgements.c.annotator_id == annotator_id)
        .group_by(current_judgements.c.kind)
    )
    with store.reading() as connection:
        counts = {row[0]: row[1] for row in connection.execute(by_kind)}
        num_open = _num_open(connection, annotator_id, store.now())
    return AnnotatorProgress(
        num_ranked=counts.get("ranking", 0),
        num_cannot_rank=counts.get("cannot_rank", 0),
        num_skipped=counts.get("skip", 0),
        num_open=num_open,
    )


def store_progress(store: Store) -> StoreProgress:
    """Everybody's counts now."""
    with store.reading() as connection:
        overlap = read_queue_settings(connection)[0].overlap
        entries = queue_entries.c
        wanted = func.coalesce(entries.overlap, overlap)
        is_over = entries.num_judges > wanted
        counts = connection.execute(
            select(
                func.count().label("num_items"),
                func.coalesce(func.sum(case((entries.is_open, 0), else_=1)), 0).label("num_closed"),
                func.coalesce(func.sum(wanted), 0).label("num_wanted"),
                func.coalesce(func.sum(case((is_over, wanted), else_=entries.num_judges)), 0).label(
                    "num_judged"
                ),
                func.coalesce(func.sum(case((is_over, entries.num_judges - wanted), else_=0)), 0).label(
                    "num_over"
                ),
            ).where(~entries.is_gold)
        ).one()
        num_gold = connection.scalar(select(func.count()).select_from(queue_entries).where(entries.is_gold))
        num_leased = connection.scalar(
            select(func.count()).select_from(leases).where(leases.c.expires_at > store.now())
        )
        num_judgements = connection.scalar(select(func.count()).select_from(judgements))
    return StoreProgress(
        num_items=counts.num_items,
        num_gold=num_gold or 0,
        num_closed=counts.num_closed,
        num_wanted=counts.num_wanted,
        num_judged=counts.num_judged,
        num_over_overlap=counts.num_over,
        num_leased=num_leased or 0,
        num_judgements=num_judgements or 0,
    )


def _num_open(connection: Connection, annotator_id: int, now: float) -> int:
    """All open items less those that the person has done or lost: the first count is read off an index."""
    entries = queue_entries.c
    kinds: list[ColumnElement[bool]] = [~entries.is_gold & entries.is_open]
    queue_settings, _ = read_queue_settings(connection)
    num_open = 0
    if queue_settings.gold_every > 0:
        kinds.append(entries.is_gold)
        num_open -= ItemPlaces(connection, annotator_id, queue_settings.overlap, now).num_lost_gold()
    done = queue_entries.join(current_judgements, current_judgements.c.item_id == entries.item_id)
    for is_kind in kinds:
        count = select(func.count()).where(is_kind)
        num_open += connection.scalar(count.select_from(queue_entries)) or 0
        own = current_judgements.c.annotator_id == annotator_id
        num_open -= connection.scalar(count.select_from(done).where(own)) or 0
    return num_open
