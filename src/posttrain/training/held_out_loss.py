"""The mean loss of a model on rows that it is not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from posttrain.batches import PackedBatch
from posttrain.models.decoder import evaluating


class TargetLoss(NamedTuple):
    """The loss of `num_targets` targets, summed, in nats."""

    nats: float
    num_targets: int


@torch.no_grad()
def held_out_loss(language_model: Any, batches: Iterable[PackedBatch]) -> TargetLoss:
    """The summed loss of all targets of these batches, each computed at once, added up in float64.

    Make the batches the same each time: matrix products of another shape round differently.
    """
    nats, num_targets = 0.0, 0
    with evaluating(language_model.model):
        for batch in batches:
            logprobs = language_model.target_logprobs(batch.to(language_model.device))
            nats -= float(logprobs.double().sum())
            num_targets += batch.num_targets
    return TargetLoss(nats, num_targets)
