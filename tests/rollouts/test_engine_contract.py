"""What every engine promises, run over each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.rollouts.made_prompts import ROUNDING, ids, logprob_gap, prompts, sampling
from tests.tiny_models import EOS, IM_END, tiny_language_model, tiny_tokenizer

from posttrain.models import LanguageModel, add_lora
from posttrain.rollouts import ScriptedEngine, TorchEngine
from posttrain.types import Prompt


@dataclass
class Case:
    """An engine, the weights that it takes, and the learner's model where it has one."""

    engine: Any
    weights: Callable[[], Any]
    learner: LanguageModel | None = None


def torch_case(kind, **options) -> Case:
    learner = tiny_language_model(kind)
    return Case(TorchEngine(learner, **options), learner.named_weights, learner)


def lora_case() -> Case:
    learner = add_lora(tiny_language_model(), 2, 4.0)
    return Case(TorchEngine(learner), learner.named_weights, learner)


def scripted_case() -> Case:
    def say(prompt, sample_index, version):
        length = (3 * sample_index + len(prompt.token_ids)) % 14
        return [(7 * t + 11 * sample_index + version + prompt.token_ids[0]) % 200 + 30 for t in range(length)]

    return Case(ScriptedEngine(say, tiny_tokenizer()), lambda: iter(()))


CASES = {
    "torch llama": lambda: torch_case("llama"),
    "torch gpt2": lambda: torch_case("gpt2"),
    "torch qwen3 in waves": lambda: torch_case("qwen3", max_rows=3),
    "torch gemma2": lambda: torch_case("gemma2"),
    "torch shared": lambda: torch_case("llama", shares_weights=True),
    "torch lora": lora_case,
    "scripted": scripted_case,
}


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def test_order_and_counts(case):
    asked = prompts()
    rollouts = case.engine.generate(asked, sampling(), 3)
    assert [(r.prompt, r.sample_index) for r in rollouts] == [(p, i) for p in asked for i in range(3)]
    for rollout in rollouts:
        assert 1 <= len(rollout.response_ids) <= 12
        assert len(rollout.rollout_logprobs) == len(rollout.response_ids)
        assert all(logprob <= 0 for logprob in rollout.rollout_logprobs)


def test_no_prompts_no_rollouts(case):
    assert case.engine.generate([], sampling(), 3) == []


def test_the_same_call_gives_the_same_rollouts(case):
    first = case.engine.generate(prompts(), sampling(temperature=0.8), 2)
    case.engine.generate(prompts(seed=5), sampling(temperature=0.0), 1)  # an evaluation in between
    again = case.engine.generate(prompts(), sampling(temperature=0.8), 2)
    assert ids(first) == ids(again)


def test_a_response_does_not_depend_on_its_neighbours(case):
    asked = prompts()
    together = case.engine.generate(asked, sampling(), 3)
    alone = [case.engine.generate([prompt], sampling(), 1)[0] for prompt in asked]
    assert ids(together)[::3] == ids(alone)
    backwards = case.engine.generate(asked[::-1], sampling(), 3)
    assert {(r.prompt.prompt_id, r.sample_index): r.response_ids for r in backwards} == {
        (r.prompt.prompt_id, r.sample_index): r.response_ids for r in together
    }


def test_a_smaller_budget_gives_the_same_first_tokens(case):
    long = case.engine.generate(prompts(), sampling(), 2)
    short = case.engine.generate(prompts(), sampling(max_new_tokens=4), 2)
    assert [r.response_ids[:4] for r in long] == ids(short)


def test_the_budget_is_exact(case):
    never = sampling(max_new_tokens=5, eos_token_ids=(10_000,))
    for rollout in case.engine.generate(prompts(), never, 2):
        if rollout.finish_reason == "length":
            assert len(rollout.response_ids) == 5
            assert not rollout.is_complete
    one = case.engine.generate(prompts(), sampling(max_new_tokens=1), 2)
    assert {len(r.response_ids) for r in one} == {1}


def test_the_finish_reason_is_why_it_ended(case):
    # any id that was sampled may be made an end-of-sequence id: it then ends the response where it comes first
    plain = case.engine.generate(prompts(), sampling(eos_token_ids=(10_000,)), 2)
    ends = (*{r.response_ids[min(2, len(r.response_ids) - 1)] for r in plain[:4]}, EOS, IM_END)
    for rollout in case.engine.generate(prompts(), sampling(eos_token_ids=ends), 2):
        assert not set(rollout.response_ids[:-1]) & set(ends)
        if rollout.finish_reason == "eos":
            assert rollout.response_ids[-1] in ends
        else:
            assert rollout.finish_reason == "length"
            assert rollout.response_ids[-1] not in ends
            assert len(rollout.response_ids) == 12


def test_versions_are_stamped(case):
    assert {r.policy_version for r in case.engine.generate(prompts(), sampling(), 1)} == {0}
    case.engine.load_weights(case.weights(), 7)
    assert {r.policy_version for r in case.engine.generate(prompts(), sampling(), 1)} == {7}
    case.engine.load_weights(case.weights(), 0)


def test_prompts_without_ids_are_refused(case):
    with pytest.raises(ValueError, match=r"'bare' has no token_ids"):
        case.engine.generate([*prompts(), Prompt("bare", "What?")], sampling(), 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": 1e-5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": 2.0}, "min_p"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop": ("",)}, "stop"),
    ],
)
def test_settings_out_of_range_are_refused(case, changes, said):
    with pytest.raises(ValueError, match=said):
        case.engine.generate(prompts(), sampling(**changes), 1)


def test_no_responses_are_refused(case):
    with pytest.raises(ValueError, match="responses_per_prompt"):
        case.engine.generate(prompts(), sampling(), 0)


def test_progress_ends_at_the_total(case):
    calls = []
    rollouts = case.engine.generate(prompts(), sampling(), 2, progress=lambda *now: calls.append(now))
    assert calls[-1] == (10, 10, sum(len(r.response_ids) for r in rollouts))
    assert calls == sorted(calls)


def test_streams_differ_by_sample_epoch_step_and_seed(case):
    if case.learner is None:
        pytest.skip("a script draws nothing")
    asked = prompts()
    base = ids(case.engine.generate(asked, sampling(), 4))
    assert len(set(base)) == len(base)
    for changed in (sampling(step=1), sampling(seed=1)):
        assert ids(case.engine.generate(asked, changed, 4)) != base
    later = [dataclasses.replace(prompt, epoch=1) for prompt in asked]
    assert ids(case.engine.generate(later, sampling(), 4)) != base


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_logprobs_are_the_learners(case, temperature):
    if case.learner is None:
        pytest.skip("a script has no model")
    rollouts = case.engine.generate(prompts(), sampling(temperature=temperature), 3)
    assert logprob_gap(case.learner, rollouts, temperature or 1.0) <= ROUNDING
