"""What is learned of a conversation, on token ids: golden cases, and templates that would make a wrong mask."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny_models import BOS, CHATML, EOS, IM_END, tiny_tokenizer

from posttrain.data.chat_template import encode_prompts, encode_response
from posttrain.data.conversation_encoding import DemonstrationEncoder, TrainOn, encode_demonstrations
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import Demonstration
from posttrain.errors import DataError
from posttrain.types import Message, Prompt

TWO_TURNS = (
    Message(role="system", content="S"),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Yo!"),
    Message(role="user", content="b"),
    Message(role="assistant", content="c d"),
)
# Qwen3's way: what was thought in earlier turns is not shown again.
STRIPS_THINKING = CHATML.replace(
    "message['content'] + '<|im_end|>'",
    "(message['content'] if loop.last or message['role'] != 'assistant' else message['content'].split('</think>')[-1])"
    " + '<|im_end|>'",
)
MARKS_GENERATION = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{{ 'PREFIX' }}{% generation %}{{ m['content'] + 'SUFFIX' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def encoder(tokenizer: Any = None, train_on: TrainOn = "all", **settings: Any) -> DemonstrationEncoder:
    made = tiny_tokenizer() if tokenizer is None else tokenizer
    return DemonstrationEncoder(made, ConversationFormat(**settings), train_on=train_on)


def shown(demonstration: Demonstration, made: DemonstrationEncoder) -> str:
    """The text with what is learned in brackets."""
    encoded = made.encode(demonstration)
    text, mask = "", encoded.loss_mask
    for number, (token, counts) in enumerate(zip(encoded.token_ids, mask, strict=True)):
        before = mask[number - 1] if number else False
        text += (
            "[" if counts and not before else "]" if before and not counts else ""
        ) + made._tokenizer.decode([token])
    return text + ("]" if mask[-1] else "")


def template(text: str) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = text
    return tokenizer


HEAD = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
MIDDLE = "\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n"


def test_every_assistant_turn_and_its_end_token_and_nothing_else():
    text = shown(Demonstration("d", (), TWO_TURNS), encoder())
    assert text == HEAD + "[Yo!<|im_end|>]" + MIDDLE + "[c d<|im_end|>]\n"


def test_only_the_last_turn():
    text = shown(Demonstration("d", (), TWO_TURNS), encoder(train_on="last"))
    assert text == HEAD + "Yo!<|im_end|>" + MIDDLE + "[c d<|im_end|>]\n"


def test_assistant_turns_of_a_prompt_are_read_and_not_learned():
    for completion in ("c d", (Message(role="assistant", content="c d"),)):
        text = shown(Demonstration("d", TWO_TURNS[:4], completion), encoder())
        assert text == HEAD + "Yo!<|im_end|>" + MIDDLE + "[c d<|im_end|>]\n"
        added = shown(Demonstration("d", TWO_TURNS[1:4], completion), encoder(system_prompt="S"))
        assert added == text


def test_what_follows_the_last_answer_is_left_out():
    longer = (*TWO_TURNS, Message(role="user", content="bye"))
    assert encoder().encode(Demonstration("d", (), longer)) == encoder().encode(
        Demonstration("d", (), TWO_TURNS)
    )


def test_a_text_prompt_is_the_user_and_the_system_prompt_comes_first():
    text = shown(Demonstration("d", "Hi", "Yo!"), encoder(system_prompt="S"))
    assert text == HEAD + "[Yo!<|im_end|>]\n"


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=3))
def test_what_is_learned_is_what_is_sampled_from(turns):
    """Before each target stands exactly the prompt that the model answers, and the target is what it would sample."""
    tokenizer, messages = tiny_tokenizer(), list[Message]()
    made = DemonstrationEncoder(tokenizer, ConversationFormat())
    for question, answer in turns:
        messages += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    encoded = made.encode(Demonstration("d", (), tuple(messages)))
    ids = tuple(encoded.token_ids)
    for number, (start, stop) in enumerate(encoded.targets):
        (prompt,) = encode_prompts([Prompt("p", tuple(messages[: 2 * number + 1]))], tokenizer)
        assert ids[:start] == prompt.token_ids
        assert ids[start:stop] == encode_response(turns[number][1], tokenizer)
    assert len(encoded.targets) == len(turns)


def test_a_template_that_rewrites_history_is_an_error_not_a_mask():
    thinking = tuple(
        Message(role=m["role"], content="<think>hm</think>" + m["content"]) if m["role"] == "assistant" else m
        for m in TWO_TURNS
    )
    tokenizer = template(STRIPS_THINKING)
    with pytest.raises(
        DataError, match=r"d: the chat template rewrites .* up to message 3 .*train_on = \"last\""
    ):
        encoder(tokenizer).encode(Demonstration("d", (), thinking))
    text = shown(Demonstration("d", (), thinking), encoder(tokenizer, train_on="last"))
    assert text == HEAD + "Yo!<|im_end|>" + MIDDLE + "[<think>hm</think>c d<|im_end|>]\n"


def test_a_template_whose_opened_turn_is_another_than_the_finished_one_is_an_error():
    tokenizer = template(
        CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>' }}")
    )
    with pytest.raises(DataError, match="as the model gets it when it is to answer"):
        encoder(tokenizer, train_on="last").encode(Demonstration("d", (), TWO_TURNS))


def test_a_template_without_an_end_of_turn_is_an_error():
    tokenizer = template(CHATML.replace("<|im_end|>", ""))
    with pytest.raises(DataError, match="never learn to stop"):
        encoder(tokenizer).encode(Demonstration("d", "a", "b"))


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        ("", "<|im_end|>", "[Yo!<|im_end|>]"),
        ("PRE", "<|im_end|>", "PRE[Yo!<|im_end|>]"),  # the template says that PRE is not the assistant's
        ("PRE", "", "[PREYo!<|im_end|>]"),  # it leaves the end out: its marks are not used
    ],
)
def test_marks_of_the_template_are_used_where_they_hold_the_end_of_each_turn(prefix, suffix, expected):
    text = MARKS_GENERATION.replace("PREFIX", prefix).replace("SUFFIX", suffix)
    if not suffix:
        text = text.replace("{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>' }}")
    found = shown(Demonstration("d", (), TWO_TURNS), encoder(template(text)))
    assert expected + "\n<|im_start|>user" in found
    assert found.count("[") == 2


@pytest.mark.parametrize("writes_bos", [True, False])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_exactly_one_bos_and_one_end(writes_bos, adds_bos):
    tokenizer = tiny_tokenizer(add_bos=adds_bos)
    tokenizer.chat_template = ("{{ bos_token }}" if writes_bos else "") + CHATML
    for demonstration in (Demonstration("d", "a", "b"), Demonstration("d", (), TWO_TURNS[:3])):
        ids = list(encoder(tokenizer).encode(demonstration).token_ids)
        assert ids.count(BOS) == (writes_bos or adds_bos)
        assert (ids[0] == BOS) == (writes_bos or adds_bos)
        assert ids[-2] == IM_END
        assert ids[-3] != IM_END


def test_without_a_template_the_completion_is_tokenised_apart_and_gets_eos():
    made = encoder(tiny_tokenizer(chat_template=False, add_bos=True), text_format="Q: {prompt} A: t")
    # "t" + "he" would merge into one token "the" across the border, and the prompt would lose its last token.
    encoded = made.encode(Demonstration("d", "x", "he"))
    assert shown(Demonstration("d", "x", "he"), made) == "<bos>Q: x A: t[he<eos>]"
    (prompt,) = encode_prompts(
        [Prompt("p", "x")], made._tokenizer, text_format="Q: {prompt} A: t", use_chat_template=False
    )
    assert tuple(encoded.token_ids[: encoded.targets[0][0]]) == prompt.token_ids
    assert shown(Demonstration("d", "x", "he<eos>"), made) == "<bos>Q: x A: t[he<eos>]"


@pytest.mark.parametrize(("add_bos", "start"), [(True, BOS), (False, EOS)])
def test_plain_text_is_learned_in_full(add_bos, start):
    made = encoder(tiny_tokenizer(chat_template=False, add_bos=add_bos))
    encoded = made.encode(Demonstration("d", "", "a b"))
    assert encoded.token_ids[0] == start
    assert encoded.token_ids[-1] == EOS
    assert encoded.targets == ((1, 5),)
    assert encoded.loss_mask == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("demonstration", "tokenizer", "settings", "reason"),
    [
        (Demonstration("d", "a", "b<|im_end|>c"), tiny_tokenizer(), {}, "which ends a response"),
        (Demonstration("d", "a", "b<eos>c"), tiny_tokenizer(chat_template=False), {}, "which ends a response"),
        (Demonstration("d", "a", "b<bos>"), tiny_tokenizer(add_bos=True), {}, "2 BOS tokens"),
        (Demonstration("d", (), TWO_TURNS), tiny_tokenizer(chat_template=False), {}, "without a chat template"),
        (Demonstration("d", "a", "b"), tiny_tokenizer(chat_template=False), {"system_prompt": "S"}, "needs a chat"),
        (Demonstration("d", "a", "b"), tiny_tokenizer(), {"text_format": "{prompt}"}, "without a chat template"),
        (Demonstration("d", "a", "b"), template("{{ raise_exception('no!') }}"), {}, "no!"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded_is_named(demonstration, tokenizer, settings, reason):
    with pytest.raises(DataError, match=reason):
        encoder(tokenizer, **settings).encode(demonstration)


def encoded(demonstrations: list[Demonstration], **options: Any) -> Any:
    return encode_demonstrations(demonstrations, tiny_tokenizer(), ConversationFormat(), **options)


def test_cut_from_the_right_with_its_mask_and_dropped_when_no_target_is_left():
    short, long = Demonstration("short", "a", "b"), Demonstration("long", "a" * 10, "bcd")
    (whole,) = encoded([long], max_length=1000).examples
    start = whole.targets[0][0]
    # One target is left, then none.
    found = encoded([short, long], max_length=start + 1)
    assert [example.demonstration_id for example in found.examples] == ["short", "long"]
    assert found.examples[1].targets == ((start, start + 1),)
    assert list(found.examples[1].token_ids) == list(whole.token_ids)[: start + 1]
    assert found.num_truncated == 1
    assert found.dropped == []
    found = encoded([long, short, long], max_length=start)
    assert [example.demonstration_id for example in found.examples] == ["short"]
    assert [(item.count, item.first) for item in found.dropped] == [(2, "long")]
    assert f"max_length = {start}" in str(found.dropped[0])
    assert found.num_truncated == 0
    assert encoded([long], max_length=len(whole.token_ids)).num_truncated == 0


def test_a_cut_between_two_turns_keeps_the_first():
    example = encoder().encode(Demonstration("d", (), TWO_TURNS))
    (first, second) = example.targets
    assert example.truncated(second[0]).targets == (first,)
    assert example.truncated(second[0] + 1).targets == (first, (second[0], second[0] + 1))
    assert sum(example.loss_mask) == example.num_targets


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2():
    from posttrain.models.tokenizer_loading import load_tokenizer

    made = encoder(load_tokenizer("smollm2"))
    text = shown(Demonstration("d", (), TWO_TURNS), made)
    assert text == HEAD + "[Yo!<|im_end|>]" + MIDDLE + "[c d<|im_end|>]\n"
    usual = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    text = shown(Demonstration("d", "Hi", "Yo!"), made)
    assert text == HEAD.replace("S<", f"{usual}<") + "[Yo!<|im_end|>]\n"
    plain = made.encode(Demonstration("d", "", "Once"))
    assert [made._tokenizer.decode([i]) for i in plain.token_ids] == ["<|im_end|>", "Once", "<|im_end|>"]
