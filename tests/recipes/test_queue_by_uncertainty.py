"""Items that a reward model is unsure of come first."""

import dataclasses
import itertools
import math

import pytest
import torch
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain.config.sections import ComputeSection
from posttrain.errors import DataError, ModelError
from posttrain.models.reward_model import RewardModel
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.records import NewItem
from posttrain.recipes import queue_by_uncertainty as module
from posttrain.recipes.queue_by_uncertainty import queue_by_uncertainty
from posttrain.types import Prompt, Rollout

CPU = ComputeSection(device="cpu", dtype="float32")
WORDS = ("yes", "no", "a b c d", "maybe so", "12", "what is it")


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store.db", must_exist=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny_reward_model(tmp_path_factory.mktemp("reward"), calibration=None))


def test_the_order_is_that_of_the_entropy_of_raw_scores(store, folder, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)  # several chunks
    pairs = list(itertools.combinations(WORDS, 2))[:7]
    add_items(store, [NewItem(f"q/{i}", f"Question {i}?", pair) for i, pair in enumerate(pairs)])
    found = queue_by_uncertainty(store, folder, compute=CPU)
    assert (found.queued.num_queued, found.num_too_long) == (7, 0)
    model = RewardModel.open(folder, dtype=torch.float32, device="cpu", normalize=False)
    bits = []
    for i, texts in enumerate(pairs):
        prompt = Prompt(f"q/{i}", f"Question {i}?")
        one, other = model.score_rollouts(
            [Rollout(prompt, k, (), (), "eos", t, 0) for k, t in enumerate(texts)]
        )
        p = 1 / (1 + math.exp(other - one))
        bits.append(-sum(q * math.log2(q) for q in (p, 1 - p)))
    worth = [get_item(store, i + 1).priority - 1 for i in range(7)]
    assert worth == pytest.approx(bits, abs=1e-4)
    assert found.mean_bits == pytest.approx(sum(bits) / 7, abs=1e-4)
    assert len(set(worth)) > 1


def test_gold_and_closed_items_are_left_out(store, folder):
    items = [NewItem("gold", "Q?", ("a", "b"), gold_ranks=(0, 1)), NewItem("open", "Q?", ("a", "b"))]
    add_items(store, [items[0]])
    with pytest.raises(DataError, match="every item has all its judges"):
        queue_by_uncertainty(store, folder, compute=CPU)
    add_items(store, [dataclasses.replace(items[1])])
    found = queue_by_uncertainty(store, folder, compute=CPU, limit=5)
    assert found.queued.num_queued == 1
    assert get_item(store, 1).queue == ""
    assert get_item(store, 2).queue == "uncertainty"


def test_what_is_no_reward_model_is_said(store, tmp_path):
    add_items(store, [NewItem("q", "Q?", ("a", "b"))])
    with pytest.raises(ModelError):
        queue_by_uncertainty(store, str(tmp_path / "nothing"), compute=CPU)
