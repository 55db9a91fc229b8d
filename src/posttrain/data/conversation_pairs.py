"""Two conversations that part at their last answer: the shared turns are the prompt, the answers the pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from posttrain.data.messages import read_messages
from posttrain.data.record_files import BadRecord
from posttrain.types import Message

_TURN: Final = re.compile(r"(?:\A|\n\n)(Human|Assistant):")
_ROLES: Final = {"Human": "user", "Assistant": "assistant"}

PARTS_EARLY: Final = "the two conversations part before their last turn, so they do not answer one prompt"

Content = str | tuple[Message, ...]
Pair = tuple[Content, str, str]


def messages_pair(prompt: Content | None, chosen: list[Any], rejected: list[Any]) -> Pair | str:
    """Prompt, chosen and rejected text of two lists of messages; or why they cannot be compared.

    With a single message each they answer `prompt`; longer ones bring their prompt themselves, and `prompt`,
    where it is given, only repeats it. BadRecord for one that does not end with the assistant's answer.
    """
    one, other = _conversation(chosen, "chosen"), _conversation(rejected, "rejected")
    if len(one) == 1 and len(other) == 1:
        if prompt is None:
            raise BadRecord(
                "'chosen' and 'rejected' are one answer each, and there is no column 'prompt' that they answer"
            )
        return prompt, one[0]["content"], other[0]["content"]
    return _parted(one, other)


def is_transcript(text: str) -> bool:
    """Whether the text is a conversation as hh-rlhf writes it: "Human: ..." and "Assistant: ..." in turns."""
    found = {match[1] for match in _TURN.finditer(text)}
    return found == set(_ROLES)


def transcript_pair(chosen: str, rejected: str) -> Pair | str:
    """Prompt, chosen and rejected text of two transcripts; or why they cannot be compared."""
    return _parted(_turns(chosen), _turns(rejected))


def _turns(text: str) -> tuple[Message, ...]:
    """White space around a turn's words is layout, not content."""
    _, *pieces = _TURN.split(text)
    return tuple(
        Message(role=_ROLES[role], content=words.strip())
        for role, words in zip(pieces[::2], pieces[1::2], strict=True)
    )


def _parted(chosen: Sequence[Message], rejected: Sequence[Message]) -> Pair | str:
    if len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        return PARTS_EARLY
    if chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        return PARTS_EARLY
    return tuple(chosen[:-1]), chosen[-1]["content"], rejected[-1]["content"]


def _conversation(value: list[Any], column: str) -> tuple[Message, ...]:
    # An empty answer is one: a model can end its turn at once. `read_messages` refuses empty contents.
    last = value[-1] if value else None
    ends_empty = isinstance(last, dict) and last.get("role") == "assistant" and last.get("content") == ""
    filled = [*value[:-1], {"role": "assistant", "content": "-"}] if ends_empty else value
    messages = read_messages(filled, column)
    if messages[-1]["role"] != "assistant":
        raise BadRecord(
            f"the column {column!r} ends with a message of the role {messages[-1]['role']!r}, not with an answer"
        )
    if ends_empty:
        messages = (*messages[:-1], Message(role="assistant", content=""))
    if len(messages) > 1 and messages[-2]["role"] == "assistant":
        raise BadRecord(f"the column {column!r} ends with two messages of the assistant; join them")
    return messages
