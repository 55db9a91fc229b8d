"""People rank first what a reward model is unsure of: there a judgement teaches it most.

open items -> raw score of each response -> mean entropy of the choice between two -> the queue `uncertainty`
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posttrain.config.sections import ComputeSection
from posttrain.errors import DataError
from posttrain.models.reward_model import RewardModel
from posttrain.preferences.quality.queues import Queued, open_items, put_in_queue, uncertainty_of_scores
from posttrain.preferences.sampled_prompt import SampledPrompt
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import iterate_items
from posttrain.preferences.store.records import Item
from posttrain.recipes.setup import hide_progress_bars, resolve_device, resolve_dtype
from posttrain.types import FinishReason, Rollout

ITEMS_AT_ONCE = 64
"""Items whose responses are scored together."""


@dataclass(frozen=True)
class UncertaintyQueue:
    """What was queued. `num_too_long` open items hold a response that is longer than the reward model was made for."""

    queued: Queued
    num_too_long: int
    mean_bits: float


def queue_by_uncertainty(
    store: Store, reward_model: str, *, compute: ComputeSection | None = None, limit: int | None = None
) -> UncertaintyQueue:
    """Put the open items first that the reward model is least sure of, by raw scores: their differences are log-odds.

    A cut response is scored as if it were complete, as people judge it. ModelError for a reward model that cannot
    be opened; DataError where no item is open, or none could be scored.
    """
    waiting = open_items(store)
    if not waiting:
        raise DataError(
            f"in {store.where} every item has all its judges, so there is nothing to put first. Add samples, or raise "
            "the overlap: posttrain rank STORE --overlap 2"
        )
    worth = {
        item.item_id: uncertainty_of_scores(scores)
        for item, scores in _scored(store, waiting, _open(reward_model, compute or ComputeSection()))
    }
    known = {item: bits for item, bits in worth.items() if math.isfinite(bits)}
    if not known:
        raise DataError(
            f"{reward_model} could score no item of {store.where}: all are longer than it was made for."
        )
    queued = put_in_queue(store, "uncertainty", known, limit=limit, about=f"by {reward_model}")
    return UncertaintyQueue(queued, len(worth) - len(known), math.fsum(known.values()) / len(known))


def _open(name: str, compute: ComputeSection) -> RewardModel:
    hide_progress_bars()
    device = resolve_device(compute.device)
    return RewardModel.open(name, dtype=resolve_dtype(compute.dtype, device), device=device, normalize=False)


def _scored(store: Store, waiting: set[int], model: RewardModel) -> Iterator[tuple[Item, Sequence[float]]]:
    """Open items with the raw scores of their responses."""
    chosen = (item for item in iterate_items(store) if item.item_id in waiting)
    while items := list(itertools.islice(chosen, ITEMS_AT_ONCE)):
        rollouts = [_rollouts(item) for item in items]
        scores = iter(model.score_rollouts(list(itertools.chain.from_iterable(rollouts))))
        for item, own in zip(items, rollouts, strict=True):
            yield item, list(itertools.islice(scores, len(own)))


def _rollouts(item: Item) -> list[Rollout]:
    ended: FinishReason = "eos"
    sample = SampledPrompt(
        sample_id=item.external_id,
        prompt=item.prompt,
        responses=item.responses,
        finish_reasons=item.finish_reasons or (ended,) * len(item.responses),
        num_drawn=len(item.responses),
        columns=item.columns,
    )
    return sample.rollouts()
