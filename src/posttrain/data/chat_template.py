"""Prompts become token ids, and responses text: the only place that renders.

No response that a policy sampled is rendered back to ids: what was sampled is what is trained on. Responses that
come as text (a comparison in a file) get the ids that a policy would have sampled: `encode_response`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.data.messages import with_system_prompt
from posttrain.errors import DataError, InvariantError
from posttrain.types import Message, Prompt


@dataclass(frozen=True, slots=True)
class PromptLengths:
    """Prompts that fit, and those that are too long, both in order."""

    kept: list[Prompt]
    too_long: list[Prompt]


def encode_prompts(
    prompts: Sequence[Prompt],
    tokenizer: Any,
    *,
    system_prompt: str | None = None,
    text_format: str | None = None,
    use_chat_template: bool | None = None,
) -> list[Prompt]:
    """The prompts with `token_ids` set, ready for the model to answer.

    With a chat template (the tokenizer's; `use_chat_template=False` ignores it) text becomes one user message and
    the template opens the assistant's turn; `system_prompt` comes first unless the prompt brings its own. Without
    one, text goes in as it is, or in place of `{prompt}` in `text_format`. Exactly one BOS where the tokenizer
    uses one. DataError names the prompt that cannot be rendered and why.
    """
    chat = bool(getattr(tokenizer, "chat_template", None)) if use_chat_template is None else use_chat_template
    _check_options(tokenizer, chat, system_prompt, text_format)
    bos = required_bos(tokenizer, use_chat_template=chat)
    encoded: list[Prompt] = []
    for prompt in prompts:
        text = _rendered(prompt, tokenizer, system_prompt) if chat else _plain_text(prompt, text_format)
        # The template has written its own special tokens; the tokenizer must not write them again.
        ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        if bos is not None and ids[:1] != (bos,):
            ids = (bos, *ids)
        if not ids:
            raise DataError(f"the prompt {prompt.prompt_id!r} has no tokens; leave it out of the data")
        try:
            _check_bos(ids, tokenizer.bos_token_id, bos)
        except InvariantError as error:
            raise DataError(
                f"the prompt {prompt.prompt_id!r}: {error} Its text may contain {tokenizer.bos_token!r} itself; "
                "remove it there, the tokenizer or its template adds it."
            ) from error
        encoded.append(dataclasses.replace(prompt, token_ids=ids))
    return encoded


def split_by_length(prompts: Sequence[Prompt], max_prompt_tokens: int) -> PromptLengths:
    """The encoded prompts of at most that many tokens, and the others; the caller drops or refuses those."""
    kept = [prompt for prompt in prompts if len(prompt.token_ids) <= max_prompt_tokens]
    return PromptLengths(kept, [prompt for prompt in prompts if len(prompt.token_ids) > max_prompt_tokens])


def decode_response(tokenizer: Any, ids: Sequence[int], eos_token_ids: Collection[int] | None = None) -> str:
    """The response as text for rewards and people, without the end-of-sequence tokens at its end.

    Other special tokens stay visible: a template's `<think>` may be one, and junk should be seen.
    """
    if eos_token_ids is None:
        eos_token_ids = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    end = len(ids)
    while end and ids[end - 1] in eos_token_ids:
        end -= 1
    return str(
        tokenizer.decode(list(ids[:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )


def encode_response(text: str, tokenizer: Any, *, use_chat_template: bool | None = None) -> tuple[int, ...]:
    """The ids of a response behind its prompt, with the id that ends it: what a policy that says this samples.

    The same as a rollout's `response_ids` where the policy's tokens are the tokenizer's own for that text.
    `use_chat_template` is what the prompt was encoded with. DataError for a tokenizer without an end token.
    """
    end = end_of_response(tokenizer, use_chat_template=use_chat_template)
    return (*tokenizer(text, add_special_tokens=False)["input_ids"], end)


def end_of_response(tokenizer: Any, *, use_chat_template: bool | None = None) -> int:
    """The id that ends a response: the template's end of turn, else the tokenizer's end of sequence.

    DataError when the tokenizer has neither.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    chat = has_template if use_chat_template is None else use_chat_template
    end = end_of_turn(tokenizer) if chat else None
    end = tokenizer.eos_token_id if end is None else end
    if end is None:
        raise DataError(
            "the model's tokenizer has no end-of-sequence token, so the end of a response cannot be marked; set "
            "eos_token in its tokenizer_config.json"
        )
    return int(end)


def end_of_turn(tokenizer: Any) -> int | None:
    """The special token that the chat template puts right behind an assistant's words (ChatML: `<|im_end|>`)."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    words = "posttrain-marks-this-place"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": words}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    except (
        Exception
    ):  # a template may refuse these messages in any way; its end of turn is then not looked for
        return None
    behind = tokenizer.encode(text.rpartition(words)[2].lstrip(), add_special_tokens=False)
    return int(behind[0]) if behind and behind[0] in tokenizer.all_special_ids else None


def check_one_bos(token_ids: Sequence[int], tokenizer: Any, *, use_chat_template: bool | None = None) -> None:
    """InvariantError unless a prompt begins with exactly one BOS, where the tokenizer uses one; else nothing.

    `use_chat_template` is what the prompt was encoded with.
    """
    _check_bos(
        token_ids, tokenizer.bos_token_id, required_bos(tokenizer, use_chat_template=use_chat_template)
    )


def _check_bos(token_ids: Sequence[int], token: int | None, required: int | None) -> None:
    if token is None:
        return
    if list(token_ids[:2]) == [token, token]:
        raise InvariantError(f"the prompt begins with two BOS tokens (id {token}).")
    count = sum(token_id == required for token_id in token_ids)
    if required is not None and (token_ids[0] != required or count != 1):
        raise InvariantError(
            f"the prompt holds {count} BOS tokens (id {required}) where exactly one, at its beginning, is expected."
        )


def required_bos(tokenizer: Any, *, use_chat_template: bool | None = None) -> int | None:
    """The BOS id that every prompt must begin with, exactly once; None where the tokenizer uses none.

    It uses one when its own encoding adds it or its template writes it at the beginning. A token that the template
    writes more than once (ChatML models that call `<|im_start|>` their BOS) marks turns and is none.
    """
    token = tokenizer.bos_token_id
    if token is None:
        return None
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if has_template if use_chat_template is None else use_chat_template:
        text = apply_template(tokenizer, [{"role": "user", "content": "a"}], add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids.count(token) > 1 and ids[:2] != [token, token]:
            return None
        if ids[:1] == [token]:
            return int(token)
    adds_it = tokenizer("a", add_special_tokens=True)["input_ids"][:1] == [token]
    return int(token) if adds_it else None


def _check_options(tokenizer: Any, chat: bool, system_prompt: str | None, text_format: str | None) -> None:
    if chat and not getattr(tokenizer, "chat_template", None):
        raise DataError(
            "use_chat_template = true, but the model's tokenizer has no chat template; use an instruct model, or set "
            "use_chat_template = false to give the text as it is"
        )
    if chat and text_format is not None:
        raise DataError(
            "text_format is for prompts without a chat template; leave it out or set use_chat_template = false"
        )
    if not chat and system_prompt is not None:
        raise DataError(
            "a system prompt needs a chat template, which this model is used without; write it into "
            "text_format instead, for example text_format = 'You are helpful.\\n\\nUser: {prompt}\\nAssistant:'"
        )
    if text_format is not None and text_format.count("{prompt}") != 1:
        raise DataError(f"text_format must contain {{prompt}} exactly once, which {text_format!r} does not")


def _rendered(prompt: Prompt, tokenizer: Any, system_prompt: str | None) -> str:
    content = with_system_prompt(prompt.content, system_prompt)
    given = (Message(role="user", content=content),) if isinstance(content, str) else content
    messages = [{"role": message["role"], "content": message["content"]} for message in given]
    try:
        return apply_template(tokenizer, messages, add_generation_prompt=True)
    except DataError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"the prompt {prompt.prompt_id!r} (roles: {roles}): {error}") from error


def apply_template(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool
) -> str:
    """The messages as text; DataError when the model's template cannot render them.

    With `add_generation_prompt` the assistant's next turn is opened.
    """
    from jinja2 import TemplateError

    try:
        # transformers renders in Jinja's immutable sandbox: a template from a checkpoint is data, not code.
        return str(
            tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(
            f"the model's chat template cannot render it: {type(error).__name__}: {error}. Change the messages, use "
            "another tokenizer, or set use_chat_template = false"
        ) from error


def _plain_text(prompt: Prompt, text_format: str | None) -> str:
    if not isinstance(prompt.content, str):
        raise DataError(
            f"the prompt {prompt.prompt_id!r} is a list of messages, but the model is used without a chat template; "
            "use an instruct model, or give the prompts as plain text"
        )
    return prompt.content if text_format is None else text_format.replace("{prompt}", prompt.content)
