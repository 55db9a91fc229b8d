"""Demonstrations become token ids, and which of them are learned: the assistant's words and the token that ends them.

Every trained turn is checked on token ids: what stands before it must be exactly the ids that the model gets
when it is asked to answer there (`encode_prompts`), and the turn must read the same in the finished conversation as
when it was said. Where a template breaks that, there is an error instead of a wrong mask.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from posttrain.data.chat_template import apply_template, end_of_response, required_bos
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import Demonstration, Dropped
from posttrain.data.encoded_demonstration import EncodedDemonstration, Span
from posttrain.data.messages import with_system_prompt
from posttrain.errors import DataError
from posttrain.types import Message, Prompt

TrainOn = Literal["all", "last"]

_GENERATION_BLOCK = re.compile(r"\{%[-+]?\s*generation\b")


@dataclass(frozen=True, slots=True)
class EncodedDemonstrations:
    """Examples with something to learn, in order; `num_truncated` of them lost tokens at their end."""

    examples: list[EncodedDemonstration]
    dropped: list[Dropped]
    num_truncated: int


def encode_demonstrations(
    demonstrations: Sequence[Demonstration],
    tokenizer: Any,
    conversation: ConversationFormat,
    *,
    max_length: int,
    train_on: TrainOn = "all",
) -> EncodedDemonstrations:
    """Each as ids of at most `max_length` tokens, cut from the right; dropped and counted when no target is left.

    `train_on="last"` trains on the last assistant turn of a conversation only. DataError names the demonstration
    that cannot be rendered, or whose turns a template rewrites.
    """
    encoder = DemonstrationEncoder(tokenizer, conversation, train_on=train_on)
    examples, without_target, num_truncated = list[EncodedDemonstration](), list[str](), 0
    for demonstration in demonstrations:
        example = encoder.encode(demonstration).truncated(max_length)
        if example.num_targets:
            examples.append(example)
            num_truncated += example.num_cut_tokens > 0
        else:
            without_target.append(demonstration.demonstration_id)
    dropped = []
    if without_target:
        reason = f"nothing to learn is left in the first max_length = {max_length} tokens"
        dropped.append(Dropped(reason, len(without_target), without_target[0]))
    return EncodedDemonstrations(examples, dropped, num_truncated)


class DemonstrationEncoder:
    """Demonstrations to ids, for one tokenizer and one way of writing conversations."""

    def __init__(
        self, tokenizer: Any, conversation: ConversationFormat, *, train_on: TrainOn = "all"
    ) -> None:
        self._tokenizer = tokenizer
        self._format = conversation
        self._train_on = train_on
        self.uses_chat_template = conversation.uses_chat_template(tokenizer)
        # Says at once what cannot work in these settings, whatever the first example is.
        conversation.encode_prompts([Prompt("an example", "a")], tokenizer)
        self._bos = required_bos(tokenizer, use_chat_template=self.uses_chat_template)
        self._end = end_of_response(tokenizer, use_chat_template=self.uses_chat_template)
        self._marks_generation = (
            self.uses_chat_template and _GENERATION_BLOCK.search(str(tokenizer.chat_template)) is not None
        )

    def encode(self, demonstration: Demonstration) -> EncodedDemonstration:
        """The whole demonstration, not cut; DataError names it when it cannot be used with this model."""
        if demonstration.is_plain_text:
            ids, targets = self._plain_text(demonstration)
        elif self.uses_chat_template:
            ids, targets = self._conversation(demonstration)
            self._check_one_bos(demonstration, ids, self._bos)
        else:
            ids, targets = self._completion(demonstration)
            self._check_one_bos(demonstration, ids, self._bos)
        return EncodedDemonstration(demonstration.demonstration_id, array("i", ids), tuple(targets))

    def messages(self, demonstration: Demonstration) -> tuple[Message, ...]:
        """The messages that are rendered: with the system prompt, and up to the last turn that is learned."""
        messages = with_system_prompt(demonstration.messages, self._format.system_prompt)
        assert not isinstance(messages, str)
        last = max(number for number, message in enumerate(messages) if message["role"] == "assistant")
        return messages[: last + 1]

    def render(self, messages: Sequence[Message]) -> list[int]:
        """The ids of finished turns; DataError when the template cannot render them."""
        text = apply_template(self._tokenizer, messages, add_generation_prompt=False)
        return self._with_bos(self._ids_of(text))

    def _plain_text(self, demonstration: Demonstration) -> tuple[list[int], list[Span]]:
        """BOS, the text, EOS; where the tokenizer has no BOS, EOS stands before it as behind another document."""
        bos = required_bos(self._tokenizer, use_chat_template=False)
        end = end_of_response(self._tokenizer, use_chat_template=False)
        ids = self._ids_of(str(demonstration.target))
        ids = [end if bos is None else bos, *ids, *([] if ids[-1:] == [end] else [end])]
        self._check_one_bos(demonstration, ids, bos)
        return ids, [(1, len(ids))]

    def _completion(self, demonstration: Demonstration) -> tuple[list[int], list[Span]]:
        """The prompt as it is sampled from, then the completion, tokenised apart from it as a response is, then EOS."""
        if not isinstance(demonstration.context, str) or not isinstance(demonstration.target, str):
            raise _cannot(
                demonstration,
                "it is a list of messages, but the model is used without a chat template. Use an instruct model, or "
                "give prompt and completion as text",
            )
        prompt = self._prompt_ids(demonstration, [demonstration.context])[0]
        words = self._ids_of(demonstration.target)
        response = words if words[-1:] == [self._end] else [*words, self._end]
        self._check_one_end(demonstration, response)
        return [*prompt, *response], [(len(prompt), len(prompt) + len(response))]

    def _conversation(self, demonstration: Demonstration) -> tuple[list[int], list[Span]]:
        messages = self.messages(demonstration)
        is_system_added = messages[0]["role"] != demonstration.messages[0]["role"]
        first = demonstration.num_context_messages + is_system_added
        turns = [n for n, message in enumerate(messages) if message["role"] == "assistant" and n >= first]
        turns = turns[-1:] if self._train_on == "last" else turns
        try:
            ids = self.render(messages)
            endings = [self.render(messages[: turn + 1]) for turn in turns[:-1]] + [ids]
        except DataError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(f"{demonstration.demonstration_id} (roles: {roles}): {error}") from error
        prompts = self._prompt_ids(demonstration, [messages[:turn] for turn in turns])
        targets = []
        for turn, prompt, ended in zip(turns, prompts, endings, strict=True):
            self._check_prefix(demonstration, turn, ids, prompt, "as the model gets it when it is to answer")
            self._check_prefix(demonstration, turn, ids, ended, "when this turn is the last one")
            targets.append((len(prompt), self._end_of_turn(demonstration, turn, ended, len(prompt))))
        return ids, self._as_the_template_marks(messages, ids, targets)

    def _end_of_turn(self, demonstration: Demonstration, turn: int, ids: list[int], start: int) -> int:
        """Where the token that ends the turn ends: what stands behind it (a line break) is not the assistant's."""
        words = ids[start:]
        if self._end not in words:
            raise _cannot(
                demonstration,
                f"the chat template puts no {self._name_of(self._end)} behind the assistant's words (message "
                f"{turn + 1}), so the model would never learn to stop. Use a template that does, or "
                "use_chat_template = false",
            )
        stop = len(words) - words[::-1].index(self._end)
        self._check_one_end(demonstration, words[:stop])
        return start + stop

    def _as_the_template_marks(
        self, messages: Sequence[Message], ids: list[int], targets: list[Span]
    ) -> list[Span]:
        """The parts of the turns within `{% generation %}`, where the template marks every turn with its end."""
        if not self._marks_generation:
            return targets
        marked = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        own, mask = list(marked["input_ids"]), list(marked["assistant_masks"])
        if self._with_bos(own) != ids:
            return targets
        mask = [0] * (len(ids) - len(own)) + mask
        if not all(mask[stop - 1] for _, stop in targets):
            return targets
        return [span for start, stop in targets for span in _runs(mask, start, stop)]

    def _check_prefix(
        self, demonstration: Demonstration, turn: int, ids: list[int], prefix: Sequence[int], which: str
    ) -> None:
        if ids[: len(prefix)] == list(prefix):
            return
        pairs = zip(ids, prefix, strict=False)
        place = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(prefix)))
        shown = [self._tokenizer.decode(list(part[place : place + 12])) for part in (ids, prefix)]
        raise _cannot(
            demonstration,
            f"the chat template rewrites what was said: up to message {turn + 1} (assistant) the finished "
            f"conversation reads ...{shown[0]!r} from token {place + 1} on, but {which} ...{shown[1]!r}. Training "
            'would show the model what it never sees in use. Set train_on = "last" to train on the last turn '
            "only, if that is not the one that is rewritten",
        )

    def _check_one_bos(self, demonstration: Demonstration, ids: list[int], bos: int | None) -> None:
        if bos is None or (ids[0] == bos and (ids.count(bos) == 1 or bos == self._tokenizer.eos_token_id)):
            return
        raise _cannot(
            demonstration,
            f"it holds {ids.count(bos)} BOS tokens ({self._name_of(bos)}) where exactly one, at its beginning, is "
            "expected. The text may contain it; remove it there, the tokenizer or its template adds it",
        )

    def _check_one_end(self, demonstration: Demonstration, response: list[int]) -> None:
        if response.count(self._end) != 1:
            raise _cannot(
                demonstration,
                f"the assistant's words contain {self._name_of(self._end)}, which ends a response. Remove it from "
                "the text",
            )

    def _prompt_ids(
        self, demonstration: Demonstration, contents: Sequence[str | tuple[Message, ...]]
    ) -> list[tuple[int, ...]]:
        prompts = [Prompt(demonstration.demonstration_id, content) for content in contents]
        return [prompt.token_ids for prompt in self._format.encode_prompts(prompts, self._tokenizer)]

    def _ids_of(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _with_bos(self, ids: list[int]) -> list[int]:
        return [self._bos, *ids] if self._bos is not None and ids[:1] != [self._bos] else ids

    def _name_of(self, token_id: int) -> str:
        return repr(self._tokenizer.convert_ids_to_tokens(token_id))


def _runs(mask: Sequence[int], start: int, stop: int) -> list[Span]:
    """The stretches of True between start and stop."""
    edges = [n for n in range(start, stop + 1) if (n < stop and mask[n]) != (n > start and mask[n - 1])]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cannot(demonstration: Demonstration, reason: str) -> DataError:
    return DataError(f"{demonstration.demonstration_id}: {reason}.")
