"""A value head on a policy: its values, what is saved of it, and heads that do not fit."""

from __future__ import annotations

import pytest
import torch
from tests.models.made_tokens import token_batch
from tests.tiny_models import tiny_language_model
from transformers import AutoModelForCausalLM

from posttrain.errors import ModelError
from posttrain.models.value_head import PolicyWithValueHead


def test_it_starts_from_zero_and_reads_the_state_before_each_token():
    policy = tiny_language_model()
    both = PolicyWithValueHead(policy)
    tokens = token_batch()
    assert not both.values_without_graph(tokens).any()
    with torch.no_grad():
        both.head.weight.normal_()
    values = both.values_without_graph(tokens)
    for row in range(len(tokens)):
        length = int(tokens.prompt_lengths[row] + tokens.response_lengths[row])
        ids = tokens.token_ids[row, :length][None]
        states = policy.causal_lm.base_model(ids).last_hidden_state[0]
        start = int(tokens.prompt_lengths[row]) - 1
        expected = (states @ both.head.weight[0])[start : length - 1]
        torch.testing.assert_close(values[row, : len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_one_pass_gives_the_bits_of_two():
    both = PolicyWithValueHead(tiny_language_model())
    with torch.no_grad():
        both.head.weight.normal_()
        tokens = token_batch()
        statistics, values = both.statistics_and_values(tokens, temperature=0.8, entropy=True)
    mask = tokens.response_mask
    assert torch.equal(statistics.logprobs[mask], both.logprobs(tokens, 0.8)[mask])
    assert torch.equal(values[mask], both.values_without_graph(tokens)[mask])


def test_the_policy_is_saved_as_a_plain_model_and_the_head_beside_it(tmp_path):
    both = PolicyWithValueHead(tiny_language_model())
    with torch.no_grad():
        both.head.weight.normal_()
    both.policy.save(tmp_path)
    both.save_head(tmp_path)
    opened, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    other = PolicyWithValueHead(tiny_language_model(seed=1))
    other.load_head(tmp_path)
    assert torch.equal(other.head.weight, both.head.weight)
    assert opened.config.hidden_size == both.width


def test_another_width_and_no_head_are_refused(tmp_path):
    wide = PolicyWithValueHead(tiny_language_model(hidden_size=64))
    wide.save_head(tmp_path)
    narrow = PolicyWithValueHead(tiny_language_model())
    with pytest.raises(ModelError, match=r"width 64.*width 32"):
        narrow.load_head(tmp_path)
    with pytest.raises(ModelError, match="has no value_head"):
        narrow.load_head(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "value_head.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read"):
        PolicyWithValueHead(tiny_language_model()).load_head(tmp_path)
