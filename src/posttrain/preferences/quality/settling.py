"""A reviewer's own judgement settles what people disagree about."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from posttrain.preferences.store.database import Store
from posttrain.preferences.store.guidelines import current_guidelines
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.records import Submission, Submitted
from posttrain.preferences.store.schema import current_judgements, judgements


def settle(
    store: Store,
    *,
    submission_id: str,
    item_id: int,
    annotator_id: int,
    ranks: Sequence[int] | None,
    unacceptable: Sequence[bool],
    note: str = "",
    replaces: int | None = None,
) -> Submitted:
    """Store what the reviewer says, as made with everyone's judgements in view.

    `ranks` may start anywhere and have gaps, a lower number is better, equal is a tie; None: it cannot be ranked.
    `replaces` is the reviewer's own current judgement of the item, if there is one. InvalidSubmission, StaleJudgement.
    """
    place = {rank: index for index, rank in enumerate(sorted(set(ranks or ())))}
    guidelines = current_guidelines(store)
    return submit(
        store,
        Submission(
            submission_id=submission_id,
            item_id=item_id,
            annotator_id=annotator_id,
            kind="cannot_rank" if ranks is None else "ranking",
            order_shown=tuple(range(len(unacceptable))),
            ranks=None if ranks is None else tuple(place[rank] for rank in ranks),
            unacceptable=tuple(unacceptable),
            note=note,
            guideline_version=None if guidelines is None else guidelines.version,
            replaces=replaces,
            settles=True,
        ),
        needs_lease=False,
    )


def settled_items(store: Store) -> set[int]:
    """The items that a reviewer has settled, and has not turned into a skip since."""
    settled = select(judgements.c.item_id, judgements.c.annotator_id).where(judgements.c.settles).subquery()
    current = current_judgements.c
    statement = (
        select(current.item_id)
        .join(
            settled,
            (settled.c.item_id == current.item_id) & (settled.c.annotator_id == current.annotator_id),
        )
        .where(current.kind != "skip")
    )
    with store.reading() as connection:
        return set(connection.scalars(statement))
