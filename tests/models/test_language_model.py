"""Logprobs of responses: the same numbers as the model's own logits, however rows are batched and padded."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.models.made_tokens import PAIRS, plain_response_logits, token_batch
from tests.tiny_models import EOS, IM_END, KINDS, tiny_language_model, tiny_model, tiny_tokenizer

from posttrain import algorithms
from posttrain.errors import ModelError
from posttrain.models import LanguageModel

TRANSFORMED = {"gemma2", "granite", "cohere"}


@pytest.fixture(scope="module", params=KINDS)
def language_model(request):
    return tiny_language_model(request.param)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_log_softmax_of_the_models_logits(language_model, temperature):
    found = language_model.logprobs(token_batch(), temperature)
    for row, pair in enumerate(PAIRS):
        logits = plain_response_logits(language_model, pair)
        ids = torch.tensor(pair[1])
        expected = torch.log_softmax(logits.double() / temperature, -1).gather(-1, ids[:, None])[:, 0]
        assert found.dtype == torch.float32
        assert (found[row, : len(ids)] - expected).abs().max() <= 1e-5
        assert (found[row, len(ids) :] == 0).all()


def test_a_row_alone_equals_the_row_in_a_batch(language_model):
    together = language_model.logprobs(token_batch(), 1.0)
    for row, pair in enumerate(PAIRS):
        alone = language_model.logprobs(token_batch([pair]), 1.0)[0]
        assert (together[row, : len(alone)] - alone).abs().max() <= 1e-5


@pytest.mark.parametrize("padding", [1, 7, 64])
def test_padding_and_what_it_holds_change_nothing(language_model, padding):
    batch = token_batch()
    width = torch.full((len(batch), padding), 17)
    padded = dataclasses.replace(batch, token_ids=torch.cat([batch.token_ids, width], dim=1))
    behind = torch.arange(padded.token_ids.shape[1])[None, :] >= batch.lengths[:, None]
    noisy = dataclasses.replace(padded, token_ids=padded.token_ids.masked_fill(behind, 123))
    expected = language_model.logprobs(batch, 1.0)
    found = language_model.logprobs(padded, 1.0)
    assert (found - expected).abs().max() <= 1e-5
    assert torch.equal(language_model.logprobs(noisy, 1.0), found)


def test_statistics_equal_the_equations_on_whole_logits(language_model):
    other = tiny_language_model(language_model.causal_lm.config.model_type, seed=7)
    batch = token_batch()
    for direction in ("forward", "reverse"):
        found = language_model.token_statistics(
            batch,
            temperature=0.8,
            entropy=True,
            reference_hidden=other.hidden_states(batch).detach(),
            reference_head=other.head,
            kl_direction=direction,
            chunk_tokens=3,
        )
        for row, pair in enumerate(PAIRS):
            logits = plain_response_logits(language_model, pair)[None] / 0.8
            reference = plain_response_logits(other, pair)[None] / 0.8
            size = len(pair[1])
            expected = algorithms.exact_kl(logits, reference, direction=direction)[0]
            torch.testing.assert_close(found.exact_kl[row, :size], expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(
                found.entropy[row, :size], algorithms.entropy(logits)[0], atol=1e-4, rtol=1e-4
            )


def test_ratio_is_exactly_one_before_the_update(language_model):
    batch = token_batch()
    old = language_model.logprobs(batch, 0.7)
    now = language_model.token_statistics(batch, temperature=0.7, entropy=True).logprobs
    assert torch.equal(old, now)


def test_gradient_equals_that_of_the_plain_loss(language_model):
    batch = token_batch()
    language_model.model.zero_grad()
    language_model.token_statistics(batch, temperature=0.9, chunk_tokens=2).logprobs.sum().backward()
    found = {n: p.grad.clone() for n, p in language_model.model.named_parameters() if p.grad is not None}
    language_model.model.zero_grad()
    for prompt, response in PAIRS:
        ids = torch.tensor([[*prompt, *response]])
        logits = language_model.model(ids, attention_mask=torch.ones_like(ids)).logits[
            :, len(prompt) - 1 : -1
        ]
        algorithms.token_logprobs(logits, torch.tensor([response]), temperature=0.9).sum().backward()
    for name, parameter in language_model.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, atol=2e-4, rtol=1e-3)
    language_model.model.zero_grad()


def test_heads_that_change_logits_are_found(language_model):
    is_transformed = language_model.head.transform is not None
    assert is_transformed == (language_model.causal_lm.config.model_type in TRANSFORMED)


def test_masked_positions_are_zero_and_get_no_gradient():
    language_model = tiny_language_model()
    batch = token_batch()
    nothing = dataclasses.replace(batch, response_mask=torch.zeros_like(batch.response_mask))
    found = language_model.token_statistics(nothing, temperature=1.0, entropy=True)
    assert not found.logprobs.any()
    assert not found.entropy.any()


def test_half_precision_logprobs_are_float32():
    language_model = tiny_language_model(dtype=torch.bfloat16)
    batch = token_batch()
    found = language_model.logprobs(batch, 1.0)
    hidden = language_model.hidden_states(batch)
    logits = language_model.head.logits(hidden).double()
    expected = torch.log_softmax(logits, -1).gather(-1, batch.response_ids[..., None])[..., 0]
    assert found.dtype == torch.float32
    assert ((found - expected)[batch.response_mask]).abs().max() <= 1e-5


def test_kl_needs_all_three_arguments():
    with pytest.raises(ValueError, match="together"):
        tiny_language_model().token_statistics(token_batch(), temperature=1.0, kl_direction="reverse")


def test_dropout_is_off_and_the_mode_is_restored():
    model = tiny_model("gpt2", attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
    language_model = LanguageModel(model.train(), tiny_tokenizer())
    batch = token_batch()
    assert language_model.model.training
    in_training = language_model.token_statistics(batch, temperature=1.0).logprobs
    assert torch.equal(in_training, language_model.logprobs(batch, 1.0))
    assert language_model.model.training
    broken = dataclasses.replace(batch, token_ids=batch.token_ids + 10_000)
    with pytest.raises(IndexError):
        language_model.logprobs(broken, 1.0)
    assert language_model.model.training


def test_every_end_of_sequence_id_is_known():
    tokenizer = tiny_tokenizer(chat_template=False)  # its own: <eos>
    model = tiny_model(eos_token_id=[9, 7])
    assert LanguageModel(model, tokenizer).eos_token_ids == (EOS, 7, 9)
    chat = tiny_tokenizer()
    chat.eos_token = "<eos>"  # the template still ends turns with <|im_end|>
    assert LanguageModel(tiny_model(eos_token_id=EOS), chat).eos_token_ids == (EOS, IM_END)


def test_a_template_that_refuses_messages_is_no_error():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert LanguageModel(tiny_model(), tokenizer).eos_token_ids == (IM_END,)


def test_a_model_that_looks_ahead_is_refused():
    from transformers import BertConfig, BertLMHeadModel

    config = BertConfig(
        vocab_size=270, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(ModelError, match="not a causal language model"):
        LanguageModel(BertLMHeadModel(config).eval(), tiny_tokenizer(), name="bert")
