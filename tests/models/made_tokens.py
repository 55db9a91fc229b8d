"""Token batches for the tests of models: ragged prompts and responses."""

from __future__ import annotations

import torch

from posttrain.batches import TokenBatch
from posttrain.types import Prompt, Rollout

PAIRS = (
    ((5, 6), (7, 8, 4)),
    ((9, 10, 11, 12, 40, 50), (60, 4)),
    ((33,), (200,)),
    ((5, 6), (99, 98, 97, 96, 95)),
)


def rollout(prompt_ids, response_ids) -> Rollout:
    prompt = Prompt("p", "", token_ids=tuple(prompt_ids))
    return Rollout(prompt, 0, tuple(response_ids), (0.0,) * len(response_ids), "eos", "", 0)


def token_batch(pairs=PAIRS) -> TokenBatch:
    return TokenBatch.from_rollouts([rollout(*pair) for pair in pairs])


def plain_logits(language_model, token_ids) -> torch.Tensor:
    """Logits of one unpadded sequence by the model's own forward, [length, vocabulary]."""
    ids = torch.tensor([list(token_ids)])
    with torch.no_grad():
        return language_model.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()


def plain_response_logits(language_model, pair) -> torch.Tensor:
    prompt, response = pair
    return plain_logits(language_model, (*prompt, *response))[len(prompt) - 1 : -1]
