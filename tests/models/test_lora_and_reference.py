"""LoRA starts from nothing; the reference is the policy as it was, and stays so."""

from __future__ import annotations

import hashlib

import pytest
import torch
from peft import PeftModel
from tests.models.made_tokens import token_batch
from tests.tiny_models import save_tiny_model, tiny_language_model

from posttrain.errors import ModelError
from posttrain.models import FrozenReference, add_lora, load_language_model


def full(kind, dtype):
    return tiny_language_model(kind, dtype=dtype)


def new_adapter(kind, dtype):
    return add_lora(tiny_language_model(kind, dtype=dtype), 4, 8.0)


def trained_adapter(kind, dtype):
    policy = new_adapter(kind, dtype)
    shake_adapter(policy)
    return policy


def shake_adapter(policy, scale=0.1):
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_" in name:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
                parameter.add_(scale * noise)


def checksum(model) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def exact_kl(policy, reference, batch):
    return policy.token_statistics(
        batch,
        temperature=0.9,
        reference_hidden=reference.hidden_states(batch),
        reference_head=reference.head,
        kl_direction="reverse",
    ).exact_kl


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("make", [full, new_adapter, trained_adapter])
def test_kl_is_exactly_zero_at_the_start_and_the_reference_stays(make, kind, dtype):
    policy, batch = make(kind, dtype), token_batch()
    reference = FrozenReference.of(policy)
    assert reference.switches_adapter_off == (make is new_adapter)
    before = reference.logprobs(batch, 0.9)
    assert torch.equal(before, policy.logprobs(batch, 0.9))
    assert (exact_kl(policy, reference, batch) == 0).all()

    frozen = None if reference.switches_adapter_off else checksum(reference._language_model.model)
    trainable = [p for p in policy.model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.5)
    for _ in range(2):  # LoRA's A moves from the second step on
        statistics = policy.token_statistics(batch, temperature=0.9)
        (statistics.logprobs.sum() + exact_kl(policy, reference, batch).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(reference.logprobs(batch, 0.9), before)
    assert exact_kl(policy, reference, batch).max() > 0
    if frozen is not None:
        assert checksum(reference._language_model.model) == frozen
        assert all(p.grad is None for p in reference._language_model.model.parameters())
        assert not any(p.requires_grad for p in reference._language_model.model.parameters())


def test_another_model_as_reference():
    policy, batch = tiny_language_model(), token_batch()
    other = tiny_language_model(seed=3)
    reference = FrozenReference.of_other(other)
    assert torch.equal(reference.logprobs(batch, 1.0), tiny_language_model(seed=3).logprobs(batch, 1.0))
    assert exact_kl(policy, reference, batch).sum() > 0
    assert not reference.head.weight.requires_grad


def test_the_adapter_is_on_again_after_an_exception():
    policy, batch = new_adapter("llama", torch.float32), token_batch()
    reference = FrozenReference.of(policy)
    shake_adapter(policy)
    expected = policy.logprobs(batch, 1.0)
    policy.model.train()
    broken = token_batch([((5, 10_000), (6,))])
    with pytest.raises(IndexError):
        reference.hidden_states(broken)
    assert torch.equal(policy.logprobs(batch, 1.0), expected)
    assert policy.model.training
    assert all(p.requires_grad for n, p in policy.model.named_parameters() if ".lora_" in n)


def test_lora_adapters_are_float32_and_alone_trainable():
    policy = add_lora(tiny_language_model(dtype=torch.bfloat16), 2, 4.0, ["q_proj", "down_proj"])
    trainable = {n: p for n, p in policy.model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name and p.dtype == torch.float32 for name, p in trainable.items())
    assert len(trainable) == 2 * 2 * 2  # A and B, two layers, two targets
    assert policy.dtype == torch.bfloat16


def test_the_adapter_depends_on_its_seed_alone():
    def weights(seed):
        torch.rand(1)  # whatever was drawn before
        return [p for n, p in add_lora(tiny_language_model(), 2, 4.0, seed=seed).model.named_parameters()]

    assert all(torch.equal(a, b) for a, b in zip(weights(0), weights(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(0), weights(1), strict=True))


def test_lora_errors_name_what_there_is():
    with pytest.raises(ModelError, match="did you mean 'q_proj'"):
        add_lora(tiny_language_model(), 2, 4.0, ["qproj"])
    with pytest.raises(ModelError, match="'lm_head'"):
        add_lora(tiny_language_model(), 2, 4.0, "lm_head")
    with pytest.raises(ModelError, match="at least 1"):
        add_lora(tiny_language_model(), 0, 4.0)
    with pytest.raises(ModelError, match="has an adapter already"):
        add_lora(new_adapter("llama", torch.float32), 2, 4.0)


def test_lora_dropout_is_kept_when_asked_for():
    policy, batch = add_lora(tiny_language_model(), 4, 8.0, dropout=0.5), token_batch()
    shake_adapter(policy)
    policy.model.train()
    with torch.no_grad():
        a, b = (policy.token_statistics(batch, temperature=1.0).logprobs for _ in range(2))
    assert not torch.equal(a, b)
    assert torch.equal(policy.logprobs(batch, 1.0), policy.logprobs(batch, 1.0))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_adapter_and_merged_export_give_the_same_logprobs(tmp_path, kind):
    base = save_tiny_model(tmp_path / "base", kind)
    policy = add_lora(load_language_model(base, dtype="float32", device="cpu"), 4, 6.0)
    shake_adapter(policy)
    batch = token_batch()
    expected = policy.logprobs(batch, 1.0)
    before = checksum(policy.model)
    policy.save(tmp_path / "saved")
    assert checksum(policy.model) == before
    merged = load_language_model(tmp_path / "saved", dtype="float32", device="cpu")
    assert not merged.has_adapter
    assert (merged.logprobs(batch, 1.0) - expected).abs().max() <= 1e-5

    adapter = load_language_model(tmp_path / "saved" / "adapter", dtype="float32", device="cpu")
    assert isinstance(adapter.model, PeftModel)
    assert adapter.model.peft_config["default"].lora_alpha == 6.0
    assert torch.equal(adapter.logprobs(batch, 1.0), expected)
    assert any(p.requires_grad for p in adapter.model.parameters())
    assert not FrozenReference.of(adapter).switches_adapter_off


def test_a_bfloat16_merge_is_made_in_float32():
    policy = trained_adapter("llama", torch.bfloat16)
    weights = dict(policy.named_weights())
    layer = policy.causal_lm.model.layers[0].self_attn.q_proj
    delta = layer.get_delta_weight("default")
    expected = (layer.base_layer.weight.float() + delta.float()).to(torch.bfloat16)
    assert torch.equal(weights["model.layers.0.self_attn.q_proj.weight"], expected)
    assert set(weights) == set(dict(tiny_language_model().named_weights()))


def test_an_adapter_of_another_sort_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "use_dora": true}')
    with pytest.raises(ModelError, match="DoRA"):
        load_language_model(tmp_path, dtype="float32", device="cpu")


def test_an_adapter_without_its_base_says_so(tmp_path):
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "/nowhere/base"}'
    )
    with pytest.raises(ModelError, match=r"belongs to /nowhere/base, which cannot be loaded"):
        load_language_model(tmp_path, dtype="float32", device="cpu")
