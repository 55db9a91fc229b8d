"""Packed layers give what the layers give, and leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from tests.rollouts.made_prompts import ids, prompts, sampling
from tests.tiny_models import tiny_language_model
from torch import nn

from posttrain.models import add_lora
from posttrain.models.packed_linears import packable_linears, packed_linears
from posttrain.rollouts import TorchEngine

needs_kernels = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="this processor has no matrix kernels for bfloat16",
)


def trunk_and_forward(kind: str, dtype=torch.bfloat16):
    trunk = tiny_language_model(kind, dtype=dtype).causal_lm.base_model
    token_ids = torch.tensor([[5, 6, 7]])
    return trunk, lambda: trunk(input_ids=token_ids, use_cache=False).last_hidden_state


@needs_kernels
def test_layers_with_one_input_are_found():
    trunk, forward = trunk_and_forward("llama")
    groups = packable_linears(trunk, forward)
    attention, mlp = trunk.layers[0].self_attn, trunk.layers[0].mlp
    assert groups[:4] == [
        [attention.q_proj, attention.k_proj, attention.v_proj],
        [attention.o_proj],
        [mlp.gate_proj, mlp.up_proj],
        [mlp.down_proj],
    ]
    assert sum(map(len, groups)) == 7 * len(trunk.layers)


@needs_kernels
@pytest.mark.parametrize("kind", ["llama", "qwen3", "cohere"])
@torch.no_grad()
def test_the_numbers_are_the_same_and_the_layers_are_as_before(kind):
    trunk, forward = trunk_and_forward(kind)
    before = forward()
    groups = packable_linears(trunk, forward)
    with packed_linears(groups):
        inside = forward()
    torch.testing.assert_close(inside, before, rtol=0.02, atol=0.02)
    assert all("forward" not in vars(layer) for group in groups for layer in group)
    assert torch.equal(forward(), before)


@needs_kernels
@torch.no_grad()
def test_biases_and_other_inputs():
    torch.manual_seed(0)
    layers = [nn.Linear(8, size, bias=bias).bfloat16() for size, bias in ((6, True), (4, False), (2, True))]
    x, other = torch.randn(5, 8).bfloat16(), torch.randn(5, 8).bfloat16()
    expected = [layer(x) for layer in layers]
    expected_other = layers[1](other)
    with packed_linears([layers]):
        for layer, value in zip(layers, expected, strict=True):
            torch.testing.assert_close(layer(x), value, rtol=0.02, atol=0.02)
        torch.testing.assert_close(layers[1](other), expected_other, rtol=0.02, atol=0.02)
    assert all("forward" not in vars(layer) for layer in layers)
    with pytest.raises((TypeError, RuntimeError)), packed_linears([layers]):
        layers[0](None)
    assert all("forward" not in vars(layer) for layer in layers)


def test_float32_models_and_adapters_are_left_alone():
    trunk, forward = trunk_and_forward("llama", torch.float32)
    assert packable_linears(trunk, forward) == []
    lora = add_lora(tiny_language_model("llama", dtype=torch.bfloat16), 4, 8.0)
    groups = packable_linears(lora.causal_lm.base_model, lambda: None)
    assert groups == []


@needs_kernels
def test_weights_of_now_are_packed():
    learner = tiny_language_model(dtype=torch.bfloat16)
    engine = TorchEngine(learner, shares_weights=True)
    before = engine.generate(prompts(), sampling(), 4)
    with torch.no_grad():
        for parameter in learner.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    after = engine.generate(prompts(), sampling(), 4)
    assert ids(after) != ids(before)
    fresh = TorchEngine(learner).generate(prompts(), sampling(), 4)
    assert ids(after) == ids(fresh)
