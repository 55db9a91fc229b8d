"""Conversations as records hold them: lists of messages, or plain text."""

from __future__ import annotations

import difflib
from typing import Any, Final

from posttrain.data.record_files import BadRecord, kind_of
from posttrain.types import Message

ROLES: Final = ("system", "user", "assistant", "tool")


def read_messages(value: Any, column: str) -> tuple[Message, ...]:
    """The column's list of messages, at least one; BadRecord says which message is wrong and why."""
    if not isinstance(value, list):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be a list of messages")
    if not value:
        raise BadRecord(f"the column {column!r} is an empty list of messages")
    return tuple(_message(item, f"message {number}") for number, item in enumerate(value, start=1))


def read_text(value: Any, column: str) -> str:
    """The column's text, which must not be empty; BadRecord otherwise."""
    if not isinstance(value, str):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be text")
    if reason := _text_problem(value):
        raise BadRecord(f"the column {column!r} {reason}")
    return value


def read_prompt(value: Any, column: str) -> str | tuple[Message, ...]:
    """Text, or messages of which the last is not the assistant's; BadRecord otherwise."""
    if isinstance(value, str):
        return read_text(value, column)
    if not isinstance(value, list):
        raise BadRecord(f"the column {column!r} is {kind_of(value)}; it must be text or a list of messages")
    messages = read_messages(value, column)
    if messages[-1]["role"] == "assistant":
        raise BadRecord("the last message is from the assistant; a prompt ends where the model is to answer")
    return messages


def with_system_prompt(
    content: str | tuple[Message, ...], system_prompt: str | None
) -> str | tuple[Message, ...]:
    """The prompt as the model saw it: messages that begin with the system prompt, unless it brings its own."""
    if system_prompt is None:
        return content
    messages = (Message(role="user", content=content),) if isinstance(content, str) else content
    if messages[0]["role"] == "system":
        return messages
    return (Message(role="system", content=system_prompt), *messages)


def _message(item: Any, name: str) -> Message:
    if not isinstance(item, dict):
        raise BadRecord(f"{name} is {kind_of(item)}, not an object with role and content")
    # Parquet writes a null for every key that some other message has.
    given = {key: value for key, value in item.items() if value is not None}
    for key in ("role", "content"):
        if key not in given:
            near = difflib.get_close_matches(key, given, n=1, cutoff=0.5)
            raise BadRecord(f"{name} has no {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if not isinstance(given[key], str):
            raise BadRecord(f"{name} has a {key!r} that is {kind_of(given[key])}; only text is supported")
    if given["role"] not in ROLES:
        near = difflib.get_close_matches(given["role"], ROLES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ROLES)}"
        raise BadRecord(f"{name} has the unknown role {given['role']!r}; {hint}")
    if further := sorted(set(given) - {"role", "content"}):
        raise BadRecord(
            f"{name} has the further key {further[0]!r}, which would be lost; only role and content are supported"
        )
    if reason := _text_problem(given["content"]):
        raise BadRecord(f"{name} ({given['role']}) {reason}")
    return Message(role=given["role"], content=given["content"])


def _text_problem(text: str) -> str | None:
    if not text.strip():
        return "is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half of a surrogate pair at character {error.start + 1}, which is no text"
    return None
