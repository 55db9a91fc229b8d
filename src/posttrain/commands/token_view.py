"""Examples of a data file as tokens that can be shown: what belongs to which turn, and what is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posttrain.data.conversation_encoding import DemonstrationEncoder
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import Demonstration
from posttrain.data.encoded_demonstration import EncodedDemonstration, Span
from posttrain.errors import DataError
from posttrain.evaluation.printable import printable
from posttrain.runs.metric_names import count_text
from posttrain.types import Prompt, Ranking


@dataclass(frozen=True, slots=True)
class ViewedToken:
    """One token: its text without control characters; `is_cut` when it is behind the longest length."""

    text: str
    is_target: bool
    is_special: bool
    is_cut: bool
    ends_line: bool


@dataclass(frozen=True, slots=True)
class ViewedTurn:
    """The tokens of one turn, header and end included, and whose turn it is."""

    label: str
    tokens: tuple[ViewedToken, ...]

    @property
    def num_targets(self) -> int:
        """Tokens that are learned."""
        return sum(token.is_target for token in self.tokens)


@dataclass(frozen=True, slots=True)
class ViewedExample:
    """One example; `remark` says what becomes of it where it is not simply learned."""

    example_id: str
    turns: tuple[ViewedTurn, ...]
    remark: str

    @property
    def num_tokens(self) -> int:
        """Tokens within the longest length."""
        return sum(not token.is_cut for turn in self.turns for token in turn.tokens)

    @property
    def num_targets(self) -> int:
        """Tokens that are learned."""
        return sum(turn.num_targets for turn in self.turns)


class ExampleViewer:
    """Makes views, for one tokenizer and one longest length."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length

    def demonstration(
        self, demonstration: Demonstration, encoder: DemonstrationEncoder, remark: str = ""
    ) -> ViewedExample:
        """A demonstration, turn by turn."""
        encoded = encoder.encode(demonstration)
        if not remark and len(encoded.token_ids) > self._max_length:
            num_cut = len(encoded.token_ids) - self._max_length
            has_targets = encoded.truncated(self._max_length).num_targets > 0
            remark = (
                f"{count_text(num_cut, 'token')} cut"
                if has_targets
                else "dropped: nothing to learn is left after the cut"
            )
        mask = encoded.loss_mask
        turns = [
            self._turn(label, encoded.token_ids, mask, span)
            for label, span in _turns(demonstration, encoded, encoder)
        ]
        return ViewedExample(demonstration.demonstration_id, tuple(turns), remark)

    def ranking(self, ranking: Ranking, conversation: ConversationFormat) -> ViewedExample:
        """A prompt and its responses, best first; of each the token counts at which a reward is read."""
        prompt = Prompt(ranking.ranking_id, ranking.prompt)
        (encoded,) = conversation.encode_prompts([prompt], self._tokenizer)
        ids = list(encoded.token_ids)
        turns = [self._turn("prompt", ids, [False] * len(ids), (0, len(ids)))]
        too_long = 0
        for number in sorted(range(len(ranking.responses)), key=lambda n: ranking.ranks[n]):
            response = list(conversation.encode_response(ranking.responses[number], self._tokenizer))
            mask = [False] * (len(ids) + len(response) - 1) + [True]
            label = f"response {number + 1}, rank {ranking.ranks[number]}"
            turns.append(self._turn(label, [*ids, *response], mask, (len(ids), len(mask))))
            too_long += len(mask) > self._max_length
        remark = (
            f"behind max_length = {self._max_length}: the end of {count_text(too_long, 'response')}"
            if too_long
            else ""
        )
        return ViewedExample(ranking.ranking_id, tuple(turns), remark)

    def _turn(self, label: str, ids: Sequence[int], mask: Sequence[bool], span: Span) -> ViewedTurn:
        tokens = [self._token(ids[place], mask[place], place >= self._max_length) for place in range(*span)]
        return ViewedTurn(label, tuple(tokens))

    def _token(self, token_id: int, is_target: bool, is_cut: bool) -> ViewedToken:
        text = self._tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        if "\ufffd" in text or not text:
            # A part of a character has no text of its own: its name in the vocabulary instead.
            text = str(self._tokenizer.convert_ids_to_tokens(token_id))
        return ViewedToken(
            text=printable(text),
            is_target=is_target and not is_cut,
            is_special=token_id in self._tokenizer.all_special_ids,
            is_cut=is_cut,
            ends_line=text.endswith("\n"),
        )


def _turns(
    demonstration: Demonstration, encoded: EncodedDemonstration, encoder: DemonstrationEncoder
) -> list[tuple[str, Span]]:
    """(whose turn, its tokens); turns that the template does not render alone are shown with the next one."""
    end = len(encoded.token_ids)
    if demonstration.is_plain_text:
        return [("text", (0, end))]
    if not encoder.uses_chat_template:
        start = encoded.targets[0][0]
        return [("prompt", (0, start)), ("completion", (start, end))]
    messages = encoder.messages(demonstration)
    turns: list[tuple[str, Span]] = []
    roles: list[str] = []
    start, ids = 0, list(encoded.token_ids)
    for number, message in enumerate(messages, start=1):
        roles.append(message["role"])
        stop = end if number == len(messages) else _end_of(encoder, messages[:number], ids)
        if stop is not None and stop > start:
            turns.append((" and ".join(roles), (start, stop)))
            start, roles = stop, []
    return turns


def _end_of(encoder: DemonstrationEncoder, messages: Sequence[Any], ids: list[int]) -> int | None:
    try:
        rendered = encoder.render(messages)
    except DataError:
        return None
    return len(rendered) if ids[: len(rendered)] == rendered else None
