from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_models import tiny_language_model
from tests.training.made_batches import made_learner

from posttrain.batches import PackedBatch
from posttrain.errors import InvariantError
from posttrain.training import NextToken

T, F = True, False
ROWS = [
    [([5, 6, 7], [F, T, T]), ([8, 9], [F, T])],
    [([10, 11, 12, 13], [F, F, F, T])],
    [([14, 15], [F, F])],
]


class Told:
    """A model that says what it was told."""

    def __init__(self, logprobs: list[float]) -> None:
        self.logprobs = torch.tensor(logprobs, dtype=torch.float64)

    def target_logprobs(self, packed: PackedBatch) -> torch.Tensor:
        assert packed.num_targets == len(self.logprobs)
        return self.logprobs


def test_the_loss_by_hand():
    batch = PackedBatch.from_documents(ROWS)
    goal = NextToken()
    assert goal.num_units(batch) == 4
    assert goal.counted_rows(batch).tolist() == [T, T, F]
    loss, metrics = goal(Told([-1.0, -2.0, -0.5, -0.1]), batch)
    assert float(loss) == pytest.approx(3.6)
    assert metrics.means() == pytest.approx({"loss": 0.9, "tokens": 11})


def test_it_is_cross_entropy_of_each_document_alone():
    """The slow twin: every document through the plain model by itself, logits in full."""
    language_model = tiny_language_model("llama", seed=2, dtype=torch.float64)
    total = 0.0
    for documents in ROWS:
        for ids, targets in documents:
            logits = language_model.model(torch.tensor([ids])).logits[0].detach()
            for place, is_target in enumerate(targets):
                if is_target:
                    total -= float(logits[place - 1].log_softmax(-1)[ids[place]])
    loss, metrics = NextToken()(language_model, PackedBatch.from_documents(ROWS))
    assert loss.item() == pytest.approx(total, rel=1e-6)
    assert metrics.means()["loss"] == pytest.approx(total / 4, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(budget=st.integers(1, 40))
def test_no_split_into_micro_batches_changes_the_step(budget):
    batch = PackedBatch.from_documents(ROWS)
    stepped = {}
    for tokens in (10_000, budget):
        learner = made_learner(dtype=torch.float64, microbatch_tokens=tokens, lr=1e-3)
        found = learner.update(batch, NextToken())
        stepped[tokens] = found["loss"], [p.detach() for p in learner.language_model.model.parameters()]
    whole, split = stepped[10_000], stepped[budget]
    assert split[0] == pytest.approx(whole[0], rel=1e-9)
    torch.testing.assert_close(split[1], whole[1], rtol=1e-9, atol=1e-12)


def test_a_row_without_targets_is_not_computed_and_not_counted():
    with_it, without = PackedBatch.from_documents(ROWS), PackedBatch.from_documents(ROWS[:2])
    found = [made_learner(dtype=torch.float64).update(batch, NextToken()) for batch in (with_it, without)]
    assert found[0]["loss"] == found[1]["loss"]
    assert found[0]["units"] == found[1]["units"] == 4


def test_a_batch_without_any_target_is_skipped():
    learner = made_learner(lr=1.0)
    before = [p.detach().clone() for p in learner.language_model.model.parameters()]
    nothing = PackedBatch.from_documents([[([5, 6], [F, F])]])
    for _ in range(4):
        assert learner.update(nothing, NextToken())["skipped"] == 1
    torch.testing.assert_close(list(learner.language_model.model.parameters()), before, rtol=0, atol=0)
    with pytest.raises(InvariantError, match="nothing to train on"):
        learner.update(nothing, NextToken())


def test_it_learns_a_row_by_heart():
    learner = made_learner(lr=1e-2)
    batch = PackedBatch.from_documents([[([5, 6, 7, 8, 5, 6, 7, 9], [F] + [T] * 7)]])
    losses = [learner.update(batch, NextToken())["loss"] for _ in range(60)]
    assert losses[0] > 2
    assert losses[-1] < 0.1
    assert math.isfinite(losses[-1])
