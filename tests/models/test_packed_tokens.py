"""Batches as one row of tokens: the numbers and the gradients of the plain padded path."""

from __future__ import annotations

import pytest
import torch
from tests.models.test_packed_documents import packed_rows
from tests.models.test_shared_prompt import batch
from tests.tiny_models import tiny_language_model

from posttrain.batches import TokenBatch
from posttrain.models import packed_tokens
from posttrain.recipes.setup import checkpoint_gradients

# rotary + grouped-query attention, absolute positions, query and key norms, scaled attention, other rotary order
KINDS = ("llama", "gpt2", "qwen3", "granite", "cohere")


def both(kind: str, tokens: TokenBatch, *, checkpoints: bool = False):
    """(logprobs, gradients) of the packed and of the plain path, in float64."""
    found = []
    for packs in (True, False):
        language_model = tiny_language_model(kind, seed=3, dtype=torch.float64)
        assert language_model._decoder.packs_tokens
        language_model._decoder._packs_tokens = packs
        language_model._decoder._shares_prompts = False
        if packs and checkpoints:
            checkpoint_gradients(language_model.causal_lm, language_model.model)
        statistics = language_model.token_statistics(tokens, temperature=0.9, entropy=True)
        weights = torch.linspace(-1, 1, statistics.logprobs.numel(), dtype=torch.float64)
        ((statistics.logprobs + 0.3 * statistics.entropy).flatten() * weights).sum().backward()
        gradients = {name: p.grad for name, p in language_model.model.named_parameters()}
        found.append((statistics.logprobs.detach(), gradients))
    return found


def assert_same(packed, plain):
    # transformers computes norms in float32, whatever the model's dtype
    torch.testing.assert_close(packed[0], plain[0], rtol=0, atol=1e-6)
    for name, gradient in plain[1].items():
        torch.testing.assert_close(packed[1][name], gradient, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", [4, 1])
def test_numbers_and_gradients_are_those_of_the_plain_path(kind, group):
    assert_same(*both(kind, batch(group=group)))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_groups_and_single_rows_in_one_batch(kind):
    tokens = batch(prompt_lengths=(5, 3, 9, 4), group=3)
    groups = tokens.prompt_groups
    alone = groups[0]
    rows = [row for row, group in enumerate(groups) if group != alone] + [alone]
    assert_same(*both(kind, tokens.select(rows)))


def test_layers_that_are_computed_again_in_backward_meet_the_same_attention():
    assert_same(*both("llama", batch(), checkpoints=True))


def test_states_after_the_last_token():
    tokens = batch().with_end_states()
    language_model = tiny_language_model("llama", seed=3, dtype=torch.float64)
    expected = language_model._decoder._plain_hidden_states(tokens)
    found = packed_tokens.group_hidden_states(language_model.causal_lm.base_model, tokens)
    steps = torch.arange(tokens.max_response_length)
    within = steps[None, :] < tokens.response_lengths[:, None]
    torch.testing.assert_close(found[within], expected[within], rtol=0, atol=1e-6)


def test_no_token_goes_through_the_model_twice():
    tokens = batch(prompt_lengths=(5, 3, 9), group=4)
    language_model = tiny_language_model("llama", dtype=torch.float64)
    seen = []
    trunk = language_model.causal_lm.base_model
    trunk.layers[0].register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    packed_tokens.group_hidden_states(trunk, tokens)
    assert seen == [(1, 5 + 3 + 9 + int((tokens.response_lengths - 1).sum()), trunk.config.hidden_size)]


@pytest.mark.parametrize("kind", KINDS)
def test_documents_do_not_see_each_other(kind):
    language_model = tiny_language_model(kind, seed=3, dtype=torch.float64)
    packed = packed_rows([[5, 3, 7], [2, 1, 4], [9]])
    trunk = language_model.causal_lm.base_model
    found = packed_tokens.document_hidden_states(trunk, packed)
    expected = packed_tokens.unpacked_hidden_states(trunk, packed)
    in_row = torch.arange(packed.token_ids.shape[1])[None, :] < packed.lengths[:, None]
    torch.testing.assert_close(found[in_row], expected[in_row], rtol=0, atol=1e-6)
    assert not found[~in_row].any()


def test_attention_without_a_plan_takes_another_path():
    """Gemma 2 caps its scores."""
    assert not tiny_language_model("gemma2")._decoder.packs_tokens


def test_a_window_that_cuts_takes_another_path():
    language_model = tiny_language_model("qwen3", seed=3, dtype=torch.float64)
    for layer in language_model.causal_lm.base_model.layers:
        layer.self_attn.sliding_window = 8
    decoder = language_model._decoder
    assert decoder.packs_tokens
    long, short = batch(prompt_lengths=(9,)), batch(prompt_lengths=(2,))
    calls = []
    original = decoder._plain_hidden_states
    decoder._plain_hidden_states = lambda tokens: calls.append(tokens) or original(tokens)
    decoder._shares_prompts = False
    decoder.hidden_states(long)
    assert len(calls) == 1
    decoder.hidden_states(short)
    assert len(calls) == 1


def test_a_wrong_position_is_found_out(monkeypatch):
    language_model = tiny_language_model("gpt2")
    right = packed_tokens.planned_hidden_states
    monkeypatch.setattr(
        packed_tokens,
        "planned_hidden_states",
        lambda trunk, ids, positions, plan: right(trunk, ids, positions + 1, plan),
    )
    assert not language_model._decoder.packs_tokens


def test_ratio_is_exactly_one_between_two_passes():
    tokens = batch()
    language_model = tiny_language_model("llama", dtype=torch.float32)
    first, second = (language_model.logprobs(tokens, 1.0) for _ in range(2))
    assert torch.equal(first, second)
