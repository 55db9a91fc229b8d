from __future__ import annotations

import pytest
import torch
from tests.tiny_models import tiny_language_model

from posttrain.batches import PackedBatch
from posttrain.models.target_predictions import predict_targets

DOCUMENTS = [
    ([5, 6, 7, 8], [False, True, True, True]),
    ([9, 10, 11], [False, False, True]),
    ([12, 5], [False, True]),
]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_the_same_as_one_document_at_a_time_with_all_logits(kind):
    model = tiny_language_model(kind, dtype=torch.float64)
    batches = [PackedBatch.from_documents([DOCUMENTS[:2]]), PackedBatch.from_documents([DOCUMENTS[2:]])]
    found = predict_targets(model, batches)
    nats, right = 0.0, 0
    for ids, mask in DOCUMENTS:
        logits = model.causal_lm(torch.tensor([ids])).logits[0].log_softmax(-1).detach()
        for place, counts in enumerate(mask):
            if counts:
                nats -= float(logits[place - 1, ids[place]])
                right += int(logits[place - 1].argmax()) == ids[place]
    assert found.nats == pytest.approx(nats, rel=1e-6)
    assert (found.num_right, found.num_targets) == (right, 5)
    assert found.loss == pytest.approx(nats / 5, rel=1e-6)
    assert found.accuracy == right / 5


def test_a_first_guess_that_is_right_counts():
    model = tiny_language_model("llama")
    guess = int(model.causal_lm(torch.tensor([[5, 6]])).logits[0, -1].argmax())
    other = (guess + 1) % 200
    documents = [([5, 6, token], [False, False, True]) for token in (guess, other)]
    assert predict_targets(model, [PackedBatch.from_documents([documents])]).accuracy == 0.5
