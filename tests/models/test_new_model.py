"""A new model is the same for the same seed, begins at the loss of a uniform guess, and opens elsewhere."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tiny_models import tiny_tokenizer
from transformers import AutoModelForCausalLM

from posttrain.batches import PackedBatch
from posttrain.models.new_model import (
    RESIDUAL_OUTPUTS,
    ModelShape,
    default_feed_forward,
    new_language_model,
    num_parameters,
)
from posttrain.training.held_out_loss import held_out_loss

SHAPE = ModelShape(layers=3, width=64, heads=4, max_length=32)


def new(shape=SHAPE, seed=0, dtype=torch.float32):
    return new_language_model(
        shape, tiny_tokenizer(chat_template=False), seed=seed, dtype=dtype, device="cpu"
    )


def weights(model):
    return dict(model.model.named_parameters())


def test_the_seed_alone_decides():
    first = weights(new())
    torch.manual_seed(99)
    before = torch.get_rng_state()
    second, other = weights(new()), weights(new(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
        assert tensor.dim() == 1 or not torch.equal(tensor, other[name]), name


def test_the_spread_of_the_first_weights():
    for name, tensor in weights(new()).items():
        if tensor.dim() == 1:
            assert (tensor == 1).all(), name
            continue
        wanted = 0.02 / math.sqrt(6) if name.endswith(RESIDUAL_OUTPUTS) else 0.02
        assert tensor.std().item() == pytest.approx(wanted, rel=0.05), name
    names = [name for name in weights(new()) if name.endswith(RESIDUAL_OUTPUTS)]
    assert len(names) == 2 * SHAPE.layers


def test_the_number_of_parameters_by_hand():
    width, inner, vocab = 64, 192, len(tiny_tokenizer())
    layer = 4 * width * width + 3 * width * inner + 2 * width
    assert default_feed_forward(width) == inner
    assert num_parameters(new()) == vocab * width + 3 * layer + width
    untied = ModelShape(3, 64, 4, 32, key_value_heads=2, feed_forward=100, tied_embeddings=False)
    layer = 3 * width * width + 3 * width * 100 + 2 * width
    assert num_parameters(new(untied)) == 2 * vocab * width + 3 * layer + width


def test_it_begins_at_a_uniform_guess():
    ids = torch.randint(5, 200, (64,), generator=torch.Generator().manual_seed(0)).tolist()
    batch = PackedBatch.from_documents([[(ids, [False] + [True] * 63)]])
    found = held_out_loss(new(), [batch, batch])
    assert found.num_targets == 126
    assert found.nats / found.num_targets == pytest.approx(math.log(len(tiny_tokenizer())), abs=0.05)


def test_what_is_saved_opens_elsewhere(tmp_path):
    model = new(dtype=torch.bfloat16)
    model.save(tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert opened.dtype == torch.bfloat16
    assert opened.config.eos_token_id == model.tokenizer.eos_token_id
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(opened(ids).logits, model.model(ids).logits)
    assert (model.max_length, model.eos_token_ids) == (32, (model.tokenizer.eos_token_id,))
