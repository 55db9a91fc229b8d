"""Rows that share their prompts, come and go: the same tokens and logprobs as every row by itself."""

from __future__ import annotations

import pytest
import torch
from tests.rollouts.made_prompts import ROUNDING, ids, logprob_gap, prompts, sampling
from tests.tiny_models import KINDS, tiny_language_model

from posttrain.batches import TokenBatch
from posttrain.rollouts import TorchEngine, response_cache
from posttrain.rollouts.response_cache import ResponseCache

ENDS = tuple(range(5, 40))
"""About one token in eight ends a response."""
NEVER = 10_000


def plain(engine: TorchEngine) -> TorchEngine:
    engine._shares_prompts = False
    return engine


@pytest.mark.parametrize("kind", KINDS)
def test_which_models_share(kind):
    """Gemma 2 caps its scores, which no plan knows."""
    assert TorchEngine(tiny_language_model(kind))._shares_prompts is (kind != "gemma2")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
@pytest.mark.parametrize("max_rows", [3, 8, 256])
def test_the_tokens_are_those_of_the_plain_path(kind, max_rows):
    language_model = tiny_language_model(kind)
    asked = prompts((2, 40, 1, 13, 7, 7))
    chosen = sampling(eos_token_ids=ENDS, max_new_tokens=40)
    found = TorchEngine(language_model, max_rows=max_rows).generate(asked, chosen, 5)
    assert ids(found) == ids(plain(TorchEngine(language_model)).generate(asked, chosen, 5))
    assert logprob_gap(language_model, found) <= ROUNDING


def test_rows_take_the_places_of_those_that_ended(monkeypatch):
    """Never more than max_rows at once, and fewer steps than waves of max_rows would take."""
    language_model = tiny_language_model()
    sizes: list[int] = []
    step = response_cache.ResponseCache.begin_step

    def counted(cache: ResponseCache) -> None:
        sizes.append(len(cache.prompt_of_row))
        step(cache)

    monkeypatch.setattr(response_cache.ResponseCache, "begin_step", counted)
    engine = TorchEngine(language_model, max_rows=16)
    sizes.clear()
    rollouts = engine.generate(prompts((6, 3)), sampling(eos_token_ids=ENDS, max_new_tokens=60), 64)
    assert max(sizes) == 16
    lengths = [len(rollout.response_ids) for rollout in rollouts]
    waves = sum(max(lengths[i : i + 16]) for i in range(0, len(lengths), 16))
    assert len(sizes) < 0.6 * waves
    assert sum(lengths) <= sum(sizes) + len(lengths)
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_pages_that_nobody_sees_are_freed(monkeypatch):
    """Of a group of 200 at 8 at a time the cache holds what 8 responses need, and the prompt once."""
    monkeypatch.setattr(response_cache, "_LONG_PAGE", 4)
    pages, held = [], []
    step = response_cache.ResponseCache.begin_step

    def watched(cache: ResponseCache) -> None:
        step(cache)
        pages.append(len(cache._pages))
        held.append(len(cache.prompts.lengths))

    monkeypatch.setattr(response_cache.ResponseCache, "begin_step", watched)
    language_model = tiny_language_model()
    engine = TorchEngine(language_model, max_rows=8)
    pages.clear(), held.clear()
    rollouts = engine.generate(prompts((30,)), sampling(eos_token_ids=ENDS, max_new_tokens=24), 200)
    assert len(pages) > 100
    assert max(pages) <= 24 // 4 + 2
    assert set(held) == {1}
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_a_group_of_1024_in_bounded_memory():
    language_model = tiny_language_model()
    chosen = sampling(eos_token_ids=(NEVER,), max_new_tokens=3)
    rollouts = TorchEngine(language_model, max_rows=256).generate(prompts((20,)), chosen, 1024)
    assert len(rollouts) == 1024
    assert len({rollout.response_ids for rollout in rollouts}) > 500
    assert logprob_gap(language_model, rollouts[::50]) <= ROUNDING


def test_learned_positions_are_not_left_by_rows_that_ended():
    """A row that ended goes along until it is replaced; the model has no position behind the longest row."""
    language_model = tiny_language_model("gpt2")
    limit = language_model.max_length
    asked = prompts((limit - 6, 2, 3, 4))
    rollouts = TorchEngine(language_model, max_rows=3).generate(
        asked, sampling(eos_token_ids=ENDS, max_new_tokens=6), 3
    )
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_a_sliding_window_that_cuts_takes_the_plain_path():
    language_model = tiny_language_model("qwen3")
    for layer in language_model.causal_lm.base_model.layers:
        layer.self_attn.sliding_window = 16
    engine = TorchEngine(language_model, shares_weights=True)
    assert engine._shares_prompts
    seen = []
    decoder_of = engine._decoder
    engine._decoder = lambda *given: seen.append(type(decoder_of(*given)).__name__) or decoder_of(*given)
    engine.generate(prompts((3,)), sampling(max_new_tokens=4), 2)
    engine.generate(prompts((14,)), sampling(max_new_tokens=4), 2)
    assert seen == ["SharedPromptDecoder", "PaddedDecoder"]


def test_a_prompts_keys_are_held_once():
    language_model = tiny_language_model()
    engine = TorchEngine(language_model)
    seen = {}
    place = response_cache.ResponseCache.place

    def watched(cache, rows, prompt_of_row, store):
        place(cache, rows, prompt_of_row, store)
        seen.update(keys=store.keys[0].shape, rows=len(prompt_of_row))

    response_cache.ResponseCache.place, before = watched, place
    try:
        engine.generate(prompts((9, 5)), sampling(max_new_tokens=2), 6)
    finally:
        response_cache.ResponseCache.place = before
    config = language_model.causal_lm.config
    assert seen["keys"][:3] == (2, config.num_key_value_heads, 9)
    assert seen["rows"] == 12


def test_wrong_attention_is_found_out(monkeypatch):
    right = ResponseCache._hidden_columns
    monkeypatch.setattr(ResponseCache, "_hidden_columns", lambda cache: None)
    assert not TorchEngine(tiny_language_model())._shares_prompts
    monkeypatch.setattr(ResponseCache, "_hidden_columns", right)
    assert TorchEngine(tiny_language_model())._shares_prompts


def test_bfloat16_is_as_near_to_float32_as_the_plain_path():
    """Scores are rounded before the softmax, as in the eager attention of transformers; that is lost in the rest."""
    exact = tiny_language_model(dtype=torch.bfloat16)
    exact.causal_lm.float()
    errors = []
    for shares in (True, False):
        engine = TorchEngine(tiny_language_model(dtype=torch.bfloat16))
        engine._shares_prompts = shares
        rollouts = engine.generate(prompts(), sampling(eos_token_ids=ENDS, max_new_tokens=30), 20)
        learner = exact.logprobs(TokenBatch.from_rollouts(rollouts), 1.0)
        drawn = [torch.tensor(rollout.rollout_logprobs) for rollout in rollouts]
        gaps = [(row[: len(own)] - own).abs() for row, own in zip(learner, drawn, strict=True)]
        errors.append(float(torch.cat(gaps).mean()))
    assert errors[0] < 1.2 * errors[1]
    assert errors[1] < 0.05
