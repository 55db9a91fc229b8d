"""Targeted queues: the items whose next judgement is worth most are handed out first.

    disagreement   people differ about them, and one more opinion is wanted
    uncertainty    a reward model cannot tell their responses apart
    models         they compare a new checkpoint with older ones

An item in a queue has priority 1 and what it is worth (0 to 1) more; all others have priority 0. Queueing anew
replaces the queue of that name.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import select

from posttrain.errors import ConfigError, DataError
from posttrain.preferences.quality.disagreements import WORTH_SETTLING, disagreements
from posttrain.preferences.quality.evidence import read_checkpoints, read_evidence
from posttrain.preferences.quality.rank_agreement import shared_rankings
from posttrain.preferences.quality.settling import settled_items
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.schema import queue_entries
from posttrain.preferences.store.targeting import Placement, clear_queue, place_in_queue

QueueName = Literal["disagreement", "uncertainty", "models"]
QUEUES: Final[tuple[QueueName, ...]] = get_args(QueueName)


@dataclass(frozen=True, slots=True)
class Queued:
    """What was put in a queue: so many items of those that could have been, and how many stood in it before."""

    queue: QueueName
    num_queued: int
    num_possible: int
    num_before: int
    about: str = ""


def queue_disagreements(
    store: Store,
    *,
    extra_judges: int = 1,
    at_least: float = WORTH_SETTLING,
    limit: int | None = None,
) -> Queued:
    """Ask `extra_judges` more people about the items on which people differ by `at_least`, and nobody settled.

    An item that waits for a judge already gets no further one: asking again asks for nothing more.
    """
    evidence = read_evidence(store)
    settled = settled_items(store)
    found = disagreements(
        evidence.rankings, shared_rankings(evidence.rankings), (item for item, _ in evidence.cannot_rank)
    )
    worth = {own.item_id: own.score for own in found if own.score >= at_least and own.item_id not in settled}
    with store.reading() as connection:
        judges_of_closed = {
            row.item_id: row.num_judges
            for row in connection.execute(
                select(queue_entries.c.item_id, queue_entries.c.num_judges).where(~queue_entries.c.is_open)
            )
        }
    overlap = {item: judges_of_closed[item] + extra_judges for item in worth if item in judges_of_closed}
    return put_in_queue(store, "disagreement", worth, limit=limit, overlap=overlap)


def queue_checkpoints(
    store: Store, *, new: Sequence[str] = (), against: Sequence[str] = (), limit: int | None = None
) -> Queued:
    """Open items that compare a new checkpoint with one of `against` first, those with most such pairs ahead.

    Without `new` it is the one whose first response came last; without `against`, all others. ConfigError for a
    checkpoint that the store does not have, and where it is not clear which is new.
    """
    checkpoints_of = read_checkpoints(store, {})
    known = _first_seen(checkpoints_of)
    for name in (*new, *against):
        _check_known(name, known, store)
    chosen = tuple(new) or _newest(known, store)
    others = set(against or known) - set(chosen)
    if not others:
        raise ConfigError(
            f"{_listed(chosen)} cannot be compared with anything: name other checkpoints in --against."
        )
    waiting = open_items(store)
    worth = {
        item: share
        for item, names in checkpoints_of.items()
        if item in waiting and (share := _share_between(names, set(chosen), others)) > 0
    }
    return put_in_queue(
        store, "models", worth, limit=limit, about=f"{_listed(chosen)} against {_listed(sorted(others))}"
    )


def put_in_queue(
    store: Store,
    queue: QueueName,
    worth: Mapping[int, float],
    *,
    limit: int | None = None,
    overlap: Mapping[int, int] | None = None,
    about: str = "",
) -> Queued:
    """Make these items the queue, the `limit` that are worth most; `worth` is 0 to 1, `overlap` how many judge them."""
    chosen = sorted(worth, key=lambda item: (-worth[item], item))[:limit]
    num_before = clear_queue(store, queue)
    place_in_queue(
        store,
        [
            Placement(
                item, 1.0 + worth[item], queue=queue, overlap=None if overlap is None else overlap.get(item)
            )
            for item in chosen
        ],
    )
    return Queued(queue, len(chosen), len(worth), num_before, about)


def clear_queues(store: Store) -> dict[str, int]:
    """Queue -> how many items stood in it; they are back in the order of import."""
    return {queue: clear_queue(store, queue) for queue in QUEUES}


def open_items(store: Store) -> set[int]:
    """Items that want more judges than they have; those with a known answer are not among them."""
    with store.reading() as connection:
        return set(
            connection.scalars(
                select(queue_entries.c.item_id).where(queue_entries.c.is_open, ~queue_entries.c.is_gold)
            )
        )


def uncertainty_of_scores(scores: Sequence[float]) -> float:
    """How little a reward model can tell responses apart: mean entropy in bits of its choice between two of them.

    Raw scores, whose difference is the log-odds of Bradley and Terry. 1 where all are equal, near 0 where all are
    far apart. NaN where a score is.
    """
    pairs = list(itertools.combinations(scores, 2))
    return math.fsum(_bits(abs(one - other)) for one, other in pairs) / len(pairs)


def _bits(log_odds: float) -> float:
    """Entropy of a choice with these log-odds, at least 0."""
    if math.isnan(log_odds):
        return math.nan
    less = math.exp(-log_odds)
    # p = 1 / (1 + less): -p ln p - (1 - p) ln(1 - p) = ln(1 + less) + (1 - p) log_odds
    unlikely = less / (1 + less) * log_odds if less > 0 else 0.0
    return (math.log1p(less) + unlikely) / math.log(2)


def _first_seen(checkpoints_of: Mapping[int, Iterable[str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in sorted(checkpoints_of):
        for name in checkpoints_of[item]:
            if name:
                found.setdefault(name, item)
    return found


def _newest(known: Mapping[str, int], store: Store) -> tuple[str, ...]:
    if not known:
        raise DataError(
            f"{store.where} does not know which checkpoint wrote its responses. Sample with posttrain sample --store, "
            "or import files that have a column `model` or `models`."
        )
    last = max(known.values())
    newest = tuple(name for name, item in known.items() if item == last)
    if len(newest) == len(known):
        raise ConfigError(
            f"{_listed(sorted(known))} came into the store together, so it is not clear which is new: name it in "
            f"--new {newest[-1]!r}."
        )
    return newest


def _check_known(name: str, known: Collection[str], store: Store) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" It has {_listed(sorted(known)) or 'none'}."
        raise ConfigError(f"{store.where} has no responses of a checkpoint {name!r}.{hint}")


def _share_between(names: Sequence[str], new: Collection[str], others: Collection[str]) -> float:
    pairs = list(itertools.combinations(names, 2))
    between = sum((a in new and b in others) or (b in new and a in others) for a, b in pairs)
    return between / len(pairs) if pairs else 0.0


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
