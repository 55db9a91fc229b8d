"""The scripted engine, and through it the rules of ending that every engine shares."""

from __future__ import annotations

import pytest
from tests.rollouts.made_prompts import sampling
from tests.tiny_models import EOS, IM_END, tiny_tokenizer

from posttrain.rollouts import ScriptedEngine
from posttrain.types import Prompt

TOKENIZER = tiny_tokenizer()
PROMPT = Prompt("sums/17", "What is 3 + 4?", token_ids=(5, 6, 7))


def said(*responses, num=1, **changes):
    engine = ScriptedEngine({"sums/17": responses}, TOKENIZER)
    return engine.generate([PROMPT], sampling(**changes), num)


def test_text_is_encoded_and_ended():
    (rollout,) = said("7")
    assert rollout.response_ids == (*TOKENIZER.encode("7"), IM_END)
    assert (rollout.text, rollout.finish_reason) == ("7", "eos")
    assert rollout.rollout_logprobs == (-1.0, -1.0)


def test_samples_go_through_the_responses_in_turn():
    assert [r.text for r in said("7", "8", num=5)] == ["7", "8", "7", "8", "7"]


def test_a_function_is_asked_with_the_version():
    engine = ScriptedEngine(
        lambda prompt, sample, version: f"{prompt.prompt_id} {sample} {version}", TOKENIZER
    )
    engine.load_weights(iter([]), 4)
    texts = [r.text for r in engine.generate([PROMPT], sampling(max_new_tokens=40), 2)]
    assert texts == ["sums/17 0 4", "sums/17 1 4"]


def test_max_length_ending_in_end_of_sequence_is_eos():
    assert said((40, 41, IM_END), max_new_tokens=3)[0].finish_reason == "eos"
    (cut,) = said((40, 41, 42), max_new_tokens=3)
    assert (cut.finish_reason, cut.response_ids) == ("length", (40, 41, 42))


def test_any_of_several_end_ids_ends():
    (rollout,) = said((40, 9, 41), eos_token_ids=(7, 9))
    assert (rollout.response_ids, rollout.finish_reason) == ((40, 9), "eos")
    assert rollout.text == TOKENIZER.decode([40])


def test_a_stop_string_may_span_tokens_and_the_last_may_overshoot():
    ids = [*TOKENIZER.encode("one EN"), *TOKENIZER.convert_tokens_to_ids(["D!"]), *TOKENIZER.encode(" two")]
    (rollout,) = said(ids, stop=("END",), max_new_tokens=30)
    assert rollout.finish_reason == "stop"
    assert rollout.text == "one "
    assert TOKENIZER.decode(list(rollout.response_ids)) == "one END!"
    assert list(rollout.response_ids) == ids[: len(rollout.response_ids)]


def test_the_first_of_several_stop_strings_cuts():
    ids = [*TOKENIZER.encode("a"), *TOKENIZER.encode("END!")]
    (rollout,) = said(ids, stop=("D!", "EN"), max_new_tokens=30)
    assert (rollout.text, rollout.finish_reason) == ("a", "stop")


def test_a_stop_string_in_the_last_token_of_the_budget_is_a_stop():
    ids = TOKENIZER.encode("xEND!")
    assert said(ids, stop=("END",), max_new_tokens=len(ids))[0].finish_reason == "stop"


def test_a_stop_string_of_many_bytes_is_found():
    (rollout,) = said("12 héé世界 34", stop=("héé世界",), max_new_tokens=60)
    assert (rollout.text, rollout.finish_reason) == ("12 ", "stop")


def test_sampled_ids_are_kept_though_text_would_encode_differently():
    apart = [TOKENIZER.convert_tokens_to_ids(letter) for letter in "the"]
    assert apart != TOKENIZER.encode("the")
    (rollout,) = said(apart)
    assert rollout.response_ids == (*apart, IM_END)
    assert rollout.text == "the"


def test_requests_are_recorded_as_they_came():
    engine = ScriptedEngine({"sums/17": ["7"]}, TOKENIZER)
    asked = sampling(temperature=0.3, top_k=7, stop=("x",), eos_token_ids=(EOS, IM_END))
    engine.generate([PROMPT], asked, 2)
    assert engine.requests == [((PROMPT,), asked, 2)]


def test_what_the_script_lacks_is_named():
    engine = ScriptedEngine({"sums/17": ["7"]}, TOKENIZER)
    with pytest.raises(ValueError, match="no response to 'other'; it has sums/17"):
        engine.generate([Prompt("other", "", token_ids=(5,))], sampling(), 1)
    with pytest.raises(ValueError, match="nothing ends it"):
        said("7", eos_token_ids=())
