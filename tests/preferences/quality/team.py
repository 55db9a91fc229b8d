"""A store with a few people, and short ways to fill it."""

from __future__ import annotations

import uuid

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import current_judgement, submit
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.records import NewItem, Submission


class Team:
    """Three annotators and a reviewer at a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._num_items = 0
        self.anna, self.ben, self.cleo = (
            add_annotator(store, name, "annotator", by=Actor()).annotator_id
            for name in ("anna", "ben", "cleo")
        )
        self.rhea = add_annotator(store, "rhea", "reviewer", by=Actor()).annotator_id

    def add(self, num_items: int, *, models=(), gold=None, overlap=2, num_responses=2) -> list[int]:
        """That many items; their numbers."""
        numbers = list(range(self._num_items + 1, self._num_items + num_items + 1))
        self._num_items += num_items
        new = [
            NewItem(
                f"q/{number}",
                f"Question {number}?",
                tuple(f"answer {number}.{place}" for place in range(num_responses)),
                models=models,
                gold_ranks=gold,
                overlap=overlap,
            )
            for number in numbers
        ]
        add_items(self.store, new)
        return numbers

    def says(
        self, who: int, item: int, *ranks: int, kind="ranking", seconds=20.0, settles=False, **more
    ) -> int:
        """A judgement, which replaces that person's earlier one."""
        size = more.pop("size", len(ranks) or 2)
        with self.store.reading() as connection:
            earlier = current_judgement(connection, who, item)
        done = submit(
            self.store,
            Submission(
                str(uuid.uuid4()),
                item,
                who,
                kind,
                more.pop("order", tuple(range(size))),
                ranks=ranks if kind == "ranking" else None,
                seconds=seconds,
                settles=settles,
                replaces=earlier and earlier.judgement_id,
                **more,
            ),
            needs_lease=False,
        )
        return done.judgement_id
