"""How well a model predicts the targets of documents: their logprobs, and whether its first guess is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from posttrain.algorithms import token_logprobs
from posttrain.algorithms.chunked_head import CHUNK_ELEMENTS
from posttrain.batches import PackedBatch
from posttrain.models.decoder import Decoder, evaluating
from posttrain.models.language_model import LanguageModel


@dataclass(frozen=True, slots=True)
class TargetPredictions:
    """Sums over `num_targets` targets: -log p in nats, and how many were the likeliest token at their place."""

    nats: float
    num_right: int
    num_targets: int

    @property
    def loss(self) -> float:
        """Mean -log p of a target, in nats."""
        return self.nats / self.num_targets

    @property
    def accuracy(self) -> float:
        """Share of targets that greedy decoding would have said, given everything right before them."""
        return self.num_right / self.num_targets


@torch.no_grad()
def predict_targets(language_model: LanguageModel, batches: Iterable[PackedBatch]) -> TargetPredictions:
    """The sums over all batches, each computed at once and added up in float64, a chunk of logits at a time.

    Make the batches the same each time: matrix products of another shape round differently.
    """
    decoder, head = Decoder(language_model.causal_lm.base_model), language_model.head
    chunk = max(1, CHUNK_ELEMENTS // head.weight.shape[0])
    nats, num_right, num_targets = 0.0, 0, 0
    with evaluating(language_model.model):
        for batch in batches:
            packed = batch.to(language_model.device)
            places = packed.loss_mask.flatten().nonzero()[:, 0]
            ids = packed.token_ids.flatten()[places]
            # A target is predicted one place before it.
            hidden = decoder.packed_hidden_states(packed).flatten(0, 1).index_select(0, places - 1)
            for start in range(0, len(ids), chunk):
                logits, wanted = head.logits(hidden[start : start + chunk]), ids[start : start + chunk]
                nats -= float(token_logprobs(logits, wanted).double().sum())
                num_right += int((logits.argmax(dim=-1) == wanted).sum())
            num_targets += len(ids)
    return TargetPredictions(nats, num_right, num_targets)
