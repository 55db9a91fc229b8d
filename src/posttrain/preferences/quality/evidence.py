"""What people said, read from a store in the form that the statistics take.

Of each person and item the newest judgement that was made without seeing those of others counts. A reviewer who
settled an item had all of them in view: what they say from then on decides for the item, and tells nothing of
agreement. Items with a known answer are kept apart: they are chosen to be clear, and would flatter it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Text, func, select, type_coerce

from posttrain.preferences.quality.personal_ranking import PersonalRanking
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import annotators, current_judgements, items, judgements, responses

SECONDS_IN_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has judged, or may."""

    annotator_id: int
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the report is computed from.

    `rankings`, `cannot_rank` (item, annotator), `grades` and `marks` are of ordinary items, `gold_rankings` and
    `gold_cannot_rank` of those whose answers are `gold_answers`. Each entry of `grades` (1 to 5, or None) and `marks`
    (True: unacceptable) is an item and what one person gave its responses. `flagged` says who flagged which item.
    `seconds` are the times of each person that were measured, of all items; `per_day` counts judgements by days since
    1970. `settled` items are decided by a reviewer.
    """

    newest_judgement_id: int
    people: Mapping[int, Person]
    rankings: list[PersonalRanking] = field(default_factory=list)
    cannot_rank: list[tuple[int, int]] = field(default_factory=list)
    num_skips: Counter[int] = field(default_factory=Counter)
    grades: list[tuple[int, tuple[int | None, ...]]] = field(default_factory=list)
    marks: list[tuple[int, tuple[bool, ...]]] = field(default_factory=list)
    flagged: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    gold_answers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    gold_rankings: list[PersonalRanking] = field(default_factory=list)
    gold_cannot_rank: list[tuple[int, int]] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    per_day: Counter[int] = field(default_factory=Counter)
    settled: set[int] = field(default_factory=set)


def read_evidence(store: Store) -> Evidence:
    """All current judgements, as they stood at one moment."""
    with store.reading() as connection:
        found = Evidence(
            newest_judgement_id=connection.scalar(select(func.max(judgements.c.judgement_id))) or 0,
            people={
                row.annotator_id: Person(row.annotator_id, row.name, row.role)
                for row in connection.execute(
                    select(annotators.c.annotator_id, annotators.c.name, annotators.c.role)
                )
            },
        )
        gold = select(items.c.item_id, items.c.gold_ranks).where(_raw(items.c.gold_ranks) != "null")
        found.gold_answers.update({row.item_id: tuple(row.gold_ranks) for row in connection.execute(gold)})
        settled_by = _settled_by(connection)
        read = _Reader(found, settled_by.keys())
        for row in connection.execute(
            _columns().join(
                current_judgements, current_judgements.c.judgement_id == judgements.c.judgement_id
            )
        ):
            read(row)
        for (item, annotator), first in settled_by.items():
            _read_before(connection, read, item, annotator, first)
    return found


def read_checkpoints(store: Store, known: Mapping[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    """Item -> the checkpoint of each of its responses, "" where it is not known; all items behind those of `known`.

    Items never change and are numbered in the order of import, so what is known stays.
    """
    last = max(known, default=0)
    # One row an item: as many columns as an item may have responses.
    by_position = [
        func.max(responses.c.model).filter(responses.c.position == position).label(f"model_{position}")
        for position in range(8)
    ]
    statement = (
        select(responses.c.item_id, *by_position)
        .where(responses.c.item_id > last)
        .group_by(responses.c.item_id)
    )
    # Most items have the same few checkpoints in the same order: one tuple for all of them.
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    found = {}
    with store.reading() as connection:
        for row in connection.execute(statement):
            names = tuple(name for name in row[1:] if name is not None)
            found[row[0]] = same.setdefault(names, names)
    return found


def _raw(column: Any) -> Any:
    return type_coerce(column, Text)


def _columns() -> Any:
    own = judgements.c
    return select(
        own.item_id,
        own.annotator_id,
        own.kind,
        _raw(own.ranks).label("ranks"),
        _raw(own.order_shown).label("order_shown"),
        _raw(own.unacceptable).label("unacceptable"),
        _raw(own.grades).label("grades"),
        own.is_flagged,
        own.seconds,
        own.submitted_at,
    ).select_from(judgements)


def _settled_by(connection: Connection) -> dict[tuple[int, int], int]:
    """(item, reviewer) -> the first judgement with which they settled it."""
    own = judgements.c
    statement = (
        select(own.item_id, own.annotator_id, func.min(own.judgement_id).label("first"))
        .where(own.settles)
        .group_by(own.item_id, own.annotator_id)
    )
    return {(row.item_id, row.annotator_id): row.first for row in connection.execute(statement)}


def _read_before(connection: Connection, read: _Reader, item: int, annotator: int, first: int) -> None:
    """What a reviewer said of an item before they settled it, where they had judged it like everybody else."""
    own = judgements.c
    before = _columns().where(own.item_id == item, own.annotator_id == annotator, own.judgement_id < first)
    row = connection.execute(before.order_by(own.judgement_id.desc()).limit(1)).one_or_none()
    if row is not None:
        read.count(row)


class _KnownTuples(dict[str, tuple[Any, ...]]):
    """JSON of a list -> the tuple. The same texts come thousands of times and are read once."""

    def __missing__(self, text: str) -> tuple[Any, ...]:
        found = self[text] = tuple(json.loads(text))
        return found


class _Reader:
    """Puts rows of judgements where they belong."""

    def __init__(self, found: Evidence, settled_by: Collection[tuple[int, int]]) -> None:
        self._found = found
        self._settled_by = settled_by
        self._tuples = _KnownTuples()

    def __call__(self, row: Row[Any]) -> None:
        submitted_at = row[-1]  # of a hundred thousand rows, names take their time
        self._found.per_day[int(submitted_at // SECONDS_IN_A_DAY)] += 1
        if self._settled_by and (row.item_id, row.annotator_id) in self._settled_by:
            if row.kind != "skip":
                self._found.settled.add(row.item_id)
            return
        self.count(row)

    def count(self, row: Row[Any]) -> None:
        """Count a judgement that was made without seeing those of others."""
        item, annotator, kind, ranks, order, marks, grades, is_flagged, seconds, _ = tuple(row)
        found = self._found
        if is_flagged:
            found.flagged[item].append(annotator)
        if seconds > 0:
            found.seconds[annotator].append(seconds)
        is_gold = item in found.gold_answers
        if kind == "skip":
            found.num_skips[annotator] += 1
        elif kind == "cannot_rank":
            (found.gold_cannot_rank if is_gold else found.cannot_rank).append((item, annotator))
        else:
            tuples = self._tuples
            # Nobody worked at what was brought from elsewhere: its cards were not shuffled here.
            ranking = PersonalRanking(item, annotator, tuples[ranks], tuples[order] if seconds > 0 else ())
            (found.gold_rankings if is_gold else found.rankings).append(ranking)
            if not is_gold:
                found.marks.append((item, tuples[marks]))
                if any(given := tuples[grades]):
                    found.grades.append((item, given))
