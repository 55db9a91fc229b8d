"""What pre-training and fine-tuning on demonstrations minimise: the cross-entropy of the tokens that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from posttrain.batches import PackedBatch
from posttrain.training.metrics import Metrics


class TargetModel(Protocol):
    """The part of a `LanguageModel` that this objective uses."""

    def target_logprobs(self, packed: PackedBatch) -> Float[Tensor, " targets"]:
        """Logprobs of the packed rows' targets, row by row, with their graph."""
        ...


@dataclass(frozen=True)
class NextToken:
    """The loss `-log p(token | tokens before it in its document)`, in nats, summed over targets.

    A unit is a target (True in `loss_mask`), so the learner's mean is over all targets of a step: a long
    document weighs more than a short one, and how documents are packed into rows changes nothing.
    Logged: `loss`, the mean; `tokens`, all tokens that were read, targets or not.

    Example: `learner.update(packed, NextToken())`
    """

    def num_units(self, batch: PackedBatch) -> float:
        """Targets of the batch."""
        return float(batch.num_targets)

    def counted_rows(self, batch: PackedBatch) -> Bool[Tensor, " rows"]:
        """Rows with a target; the others have nothing to learn from."""
        return batch.loss_mask.any(dim=-1)

    def __call__(self, model: TargetModel, microbatch: PackedBatch) -> tuple[Tensor, Metrics]:
        """The summed loss of these rows, and what to log."""
        logprobs = model.target_logprobs(microbatch)
        loss = -logprobs.sum()
        metrics = Metrics().mean("loss", total=-logprobs.detach().double().sum(), count=logprobs.numel())
        return loss, metrics.sum("tokens", microbatch.lengths.sum())
