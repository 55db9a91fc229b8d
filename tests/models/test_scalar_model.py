"""One number a state: where it is read, that padding and company never matter, and that it survives a save."""

from __future__ import annotations

import json

import pytest
import torch
from tests.tiny_models import save_tiny_model, tiny_language_model
from transformers import AutoModelForSequenceClassification

from posttrain.batches import TokenBatch
from posttrain.errors import ModelError
from posttrain.models.language_model import LanguageModel
from posttrain.models.lora import add_lora
from posttrain.models.scalar_model import (
    is_scalar_model,
    load_scalar_model,
    load_trunk_for_scalars,
    scalar_model_of,
)
from posttrain.models.shared_prompt import is_worth_sharing
from posttrain.types import Prompt, Rollout

KINDS = ("llama", "gpt2", "qwen3", "gemma2")


def rollout(prompt: tuple[int, ...], response: tuple[int, ...]) -> Rollout:
    return Rollout(
        Prompt("p", "?", token_ids=prompt), 0, response, tuple(-1.0 for _ in response), "eos", "", 0
    )


TOKENS = TokenBatch.from_rollouts(
    [rollout((5, 6), (7, 4)), rollout((5, 6), (9,)), rollout((5, 6), (9, 8, 7, 4)), rollout((8,), (4, 4))]
)


def scalar_model(kind: str, dtype: torch.dtype = torch.float32):
    return scalar_model_of(tiny_language_model(kind, seed=2, dtype=dtype), head="normal", seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_is_read_at_the_last_real_token(kind):
    """Also where end of sequence and padding have one id (row 3 ends with it twice)."""
    model = scalar_model(kind)
    with torch.no_grad():
        together = model.end_values(TOKENS)
        for row in range(len(TOKENS)):
            ids = TOKENS.token_ids[row : row + 1, : int(TOKENS.lengths[row])]
            hidden = model.model.base_model(input_ids=ids).last_hidden_state[0, -1]
            expected = hidden @ model.head.weight[0]
            torch.testing.assert_close(together[row], expected, rtol=0, atol=1e-5)
            torch.testing.assert_close(model.end_values(TOKENS.select([row]))[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_before_each_token_and_the_end(kind):
    model = scalar_model(kind)
    ends = TOKENS.with_end_states()
    assert ends.response_lengths.tolist() == [3, 2, 5, 3]
    assert torch.equal(ends.response_mask[:, :-1], TOKENS.response_mask)
    assert not ends.response_mask[:, -1].any()
    with torch.no_grad():
        values = model.state_values(ends)
        for row in range(len(TOKENS)):
            ids = TOKENS.token_ids[row : row + 1, : int(TOKENS.lengths[row])]
            hidden = model.model.base_model(input_ids=ids).last_hidden_state[0]
            expected = (hidden @ model.head.weight[0])[int(TOKENS.prompt_lengths[row]) - 1 :]
            torch.testing.assert_close(values[row, : len(expected)], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", ["alone", "of one prompt"])
def test_rows_as_long_as_the_model_has_positions_are_read_to_their_end(rows):
    """GPT-2 learns its positions: one more than it has is no number but an error."""
    model = scalar_model_of(tiny_language_model("gpt2", seed=2, n_positions=16), head="normal", seed=1)
    long, short = tuple(range(20, 32)), tuple(range(40, 46))
    made = [rollout(long, tuple(range(50, 54))), rollout(short, tuple(range(50, 60))), rollout(short, (9,))]
    if rows == "of one prompt":
        made += [rollout(long, (token,)) for token in range(60, 68)]
        made += [rollout(short, (token, 5)) for token in range(60, 68)]
    tokens = TokenBatch.from_rollouts(made)
    assert is_worth_sharing(tokens.with_end_states()) == (rows == "of one prompt")
    with torch.no_grad():
        together, states = model.end_values(tokens), model.values_without_graph(tokens)
        for row in range(len(tokens)):
            ids = tokens.token_ids[row : row + 1, : int(tokens.lengths[row])]
            hidden = model.model.base_model(input_ids=ids).last_hidden_state[0]
            expected = (hidden @ model.head.weight[0])[int(tokens.prompt_lengths[row]) - 1 :]
            torch.testing.assert_close(together[row], expected[-1], rtol=0, atol=1e-5)
            torch.testing.assert_close(states[row, : len(expected) - 1], expected[:-1], rtol=0, atol=1e-5)


def test_what_stands_behind_a_row_never_matters():
    model = scalar_model("gpt2")
    noisy = TOKENS.token_ids.clone()
    noisy[torch.arange(noisy.shape[1])[None, :] >= TOKENS.lengths[:, None]] = 77
    other = TokenBatch(noisy, TOKENS.prompt_lengths, TOKENS.response_lengths, TOKENS.response_mask)
    with torch.no_grad():
        assert torch.equal(model.end_values(other), model.end_values(TOKENS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_it_says_the_same(kind, dtype, tmp_path):
    model = scalar_model(kind, dtype)
    model.save(tmp_path / "m")
    assert is_scalar_model(tmp_path / "m")
    loaded = load_scalar_model(tmp_path / "m", dtype=dtype, device="cpu")
    with torch.no_grad():
        assert torch.equal(loaded.end_values(TOKENS), model.end_values(TOKENS))
    assert loaded.head.weight.dtype == torch.float32


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2"])
def test_a_model_loaded_in_bfloat16_knows_where_far_tokens_stand(kind, tmp_path):
    """Rotary frequencies are no weights: rounded to 8 bits, they turn a token after 200 others by a wrong angle."""
    scalar_model(kind).save(tmp_path / "m")
    loaded = load_scalar_model(tmp_path / "m", dtype=torch.bfloat16, device="cpu")
    exact = load_scalar_model(tmp_path / "m", dtype=torch.float32, device="cpu")
    frequencies = dict(loaded.model.named_buffers())
    assert any("inv_freq" in name for name in frequencies)
    for name, buffer in exact.model.named_buffers():
        torch.testing.assert_close(frequencies[name], buffer, rtol=0, atol=0)
    # The same bfloat16 weights in a float32 trunk: what is left is the rounding of sums.
    exact.model.load_state_dict(loaded.model.state_dict())
    far = TokenBatch.from_rollouts([rollout((5, 6), tuple(7 + i * i % 250 for i in range(240)))])
    with torch.no_grad():
        found, expected = loaded.values_without_graph(far), exact.values_without_graph(far)
    near_error, far_error = ((found - expected)[0, part].norm() for part in (slice(0, 40), slice(200, 240)))
    assert far_error < 2 * near_error


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_transformers_reads_the_same_score(tmp_path, pad_is_eos):
    """Padding is not the end of sequence in what is saved: transformers would look for the end before it."""
    language_model = tiny_language_model("llama", pad_is_eos=pad_is_eos)
    model = scalar_model_of(language_model, head="normal", seed=1)
    model.save(tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        ours = model.end_values(TOKENS)
        for row in range(len(TOKENS)):
            ids = TOKENS.token_ids[row : row + 1, : int(TOKENS.lengths[row])]
            logits = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            torch.testing.assert_close(logits[0, 0], ours[row], rtol=0, atol=1e-5)


def test_a_new_head_of_zeros_expects_nothing_and_the_language_model_stays_as_it_was():
    language_model = tiny_language_model("llama")
    before = {name: p.clone() for name, p in language_model.model.named_parameters()}
    model = scalar_model_of(language_model, head="zeros")
    assert model.end_values(TOKENS).abs().max() == 0
    model.end_values(TOKENS).sum().backward()
    assert model.head.weight.grad.abs().max() > 0
    for name, parameter in language_model.model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])


def test_an_adapter_is_merged_into_the_trunk():
    language_model = add_lora(tiny_language_model("llama"), 4, 8.0, "all-linear", seed=0)
    with torch.no_grad():
        for name, parameter in language_model.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    model = scalar_model_of(language_model, head="normal", seed=1)
    assert all(p.requires_grad for p in model.model.parameters())
    with torch.no_grad():
        hidden = language_model.hidden_states(TOKENS.with_end_states())
        expected = hidden @ model.head.weight[0]
        found = model.state_values(TOKENS.with_end_states())
    torch.testing.assert_close(found[2], expected[2], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_opened_says_why(tmp_path):
    language_model = save_tiny_model(tmp_path / "lm")
    with pytest.raises(ModelError, match=r"no reward or value model.*posttrain reward-model"):
        load_scalar_model(language_model, dtype=torch.float32, device="cpu")
    made = load_trunk_for_scalars(
        str(language_model), dtype=torch.float32, device="cpu", head="zeros", seed=0
    )
    made.save(tmp_path / "rm")
    config = json.loads((tmp_path / "rm" / "config.json").read_text())
    (tmp_path / "rm" / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(ModelError, match=r"rm (does not fit together|cannot be opened)"):
        load_scalar_model(tmp_path / "rm", dtype=torch.float32, device="cpu")


def test_an_architecture_without_classifier_is_refused():
    model = tiny_language_model("granite")
    assert isinstance(model, LanguageModel)
    with pytest.raises(ModelError, match="no sequence classifier"):
        scalar_model_of(model, head="zeros")


@pytest.mark.parametrize("name", ["smollm2", "model.gguf"])
def test_names_of_no_hub_id_are_not_asked_for(name, monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", refuse)
    assert not is_scalar_model(name)
