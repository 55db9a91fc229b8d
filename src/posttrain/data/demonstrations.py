"""Demonstrations from JSONL and Parquet files: what a model is shown, and what it learns to say.

A record is a conversation (`messages`), a `prompt` with its `completion` (text or messages each), or plain
`text`. The whole file is checked before anything else is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from posttrain.data.held_out import is_in_share
from posttrain.data.messages import read_messages, read_prompt, read_text
from posttrain.data.record_files import BadRecord, Record, column_of, kind_of, read_records
from posttrain.types import Message

_EXAMPLE: Final = (
    '{"messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}]}'
)

Content = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One example: `context` is only read; of `target` the assistant's words are learned.

    conversation            context = (),     target = all its messages
    prompt and completion   context = prompt, target = completion, text or messages each as the file has them
    plain text              context = "",     target = the text, every token of which is learned
    """

    demonstration_id: str
    context: Content
    target: Content

    @property
    def is_plain_text(self) -> bool:
        """Whether there is nobody who asks: a document."""
        return self.context == ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages; text becomes the user's or the assistant's. ValueError for plain text."""
        if self.is_plain_text:
            raise ValueError(f"{self.demonstration_id} is plain text and has no messages")
        return (*as_messages(self.context, "user"), *as_messages(self.target, "assistant"))

    @property
    def num_context_messages(self) -> int:
        """So many of `messages` are only read, assistant turns among them included."""
        return len(as_messages(self.context, "user"))

    @property
    def question(self) -> str:
        """What stands before the first assistant turn (a text: all of it): whoever asks the same shares a side."""
        if self.is_plain_text:
            return str(self.target)
        before: list[Message] = []
        for message in self.messages:
            if message["role"] == "assistant":
                break
            before.append(message)
        return _as_key(before)

    @property
    def content_key(self) -> str:
        """Equal for two demonstrations that teach the same."""
        own = [self.target] if self.is_plain_text else [self.num_context_messages, self.messages]
        return _as_key(own)


@dataclass(frozen=True, slots=True)
class DemonstrationColumns:
    """Which columns of a file hold what; a record is read by the first of the three kinds that it has."""

    messages: str
    prompt: str
    completion: str
    text: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Examples that are left out, why, and the id of the first of them."""

    reason: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.count} dropped: {self.reason} (the first is {self.first})"


def as_messages(content: Content, role: str) -> tuple[Message, ...]:
    """The messages, or the text as one message of that role."""
    return (Message(role=role, content=content),) if isinstance(content, str) else content


def load_demonstrations(path: str | Path, columns: DemonstrationColumns) -> list[Demonstration]:
    """The file's demonstrations, in order; ids are the column `id`, else "<file stem>/<row>" counted from 1.

    DataError with file, line and reason of the first five bad records and how many more there are: no
    assistant turn, an empty completion, an unknown role, a missing column.
    """
    return read_records(path, partial(_demonstration, columns), what="demonstrations", example=_EXAMPLE)


def without_duplicates(
    demonstrations: Sequence[Demonstration], *, held_out: Iterable[Demonstration] = (), keep: bool = False
) -> tuple[list[Demonstration], list[Dropped]]:
    """Each once, in order, and what was dropped: copies (unless they are kept), and copies of what is held out."""
    known = {item.content_key for item in held_out}
    seen: set[str] = set()
    kept, copies, known_copies = list[Demonstration](), list[str](), list[str]()
    for item in demonstrations:
        key = item.content_key
        if key in known:
            known_copies.append(item.demonstration_id)
        elif key in seen and not keep:
            copies.append(item.demonstration_id)
        else:
            seen.add(key)
            kept.append(item)
    reasons = {"the same as an earlier one": copies, "also in the held-out file": known_copies}
    return kept, [Dropped(reason, len(ids), ids[0]) for reason, ids in reasons.items() if ids]


def split_by_question(
    demonstrations: Sequence[Demonstration], held_out_share: float
) -> tuple[list[Demonstration], list[Demonstration]]:
    """(to train on, held out): two answers to one question are on the same side."""
    sides: tuple[list[Demonstration], list[Demonstration]] = ([], [])
    for item in demonstrations:
        sides[is_in_share(item.question, held_out_share)].append(item)
    return sides


def _demonstration(columns: DemonstrationColumns, record: Record, demonstration_id: str) -> Demonstration:
    # Parquet, and JSONL with several kinds in one file, write null for the columns of the other kinds.
    given = {name: value for name, value in record.items() if value is not None}
    if columns.messages in given:
        return Demonstration(demonstration_id, (), _conversation(given, columns.messages))
    if columns.completion in given or (columns.prompt in given and columns.text not in given):
        if columns.completion not in given and "responses" in given:
            raise BadRecord(
                f"several 'responses' and no {columns.completion!r}: these are samples; choose the good ones "
                "with `posttrain reject-sample` first"
            )
        context = read_prompt(column_of(given, columns.prompt), columns.prompt)
        return Demonstration(demonstration_id, context, _completion(given, columns.completion))
    if columns.text in given:
        return Demonstration(demonstration_id, "", read_text(given[columns.text], columns.text))
    raise BadRecord(
        f"no column {columns.messages!r}, nor {columns.prompt!r} with {columns.completion!r}, nor {columns.text!r}"
        f"; its columns: {', '.join(given) or 'none'}. Other names can be set, for example prompt_column"
    )


def _conversation(record: Record, column: str) -> tuple[Message, ...]:
    messages = read_messages(record[column], column)
    _check_answers(messages, "the conversation")
    first = next(message["role"] for message in messages if message["role"] != "system")
    if first == "assistant":
        raise BadRecord(
            "the conversation begins with the assistant, so there is nothing that it answers; begin with a user turn"
        )
    return messages


def _completion(record: Record, column: str) -> Content:
    value = record[column] if column in record else column_of(record, column)
    if isinstance(value, str):
        return read_text(value, column)
    if not isinstance(value, list):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be text or a list of messages")
    messages = read_messages(value, column)
    _check_answers(messages, f"the column {column!r}")
    if messages[0]["role"] != "assistant":
        raise BadRecord(
            f"the column {column!r} begins with a message of the role {messages[0]['role']!r}; a completion "
            "begins with the assistant's answer"
        )
    return messages


def _check_answers(messages: Sequence[Message], name: str) -> None:
    if not any(message["role"] == "assistant" for message in messages):
        roles = ", ".join(message["role"] for message in messages)
        raise BadRecord(f"{name} has no assistant turn (roles: {roles}), so there is nothing to learn")


def _as_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
