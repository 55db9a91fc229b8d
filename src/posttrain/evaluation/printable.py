"""Text of models and users made safe to show: it is hostile until shown otherwise.

A response may hold escape sequences that rewrite the terminal, or direction marks that show another text than
the one that was scored.
"""

from __future__ import annotations

from posttrain.types import Prompt


def printable(text: str, *, keep_newlines: bool = False) -> str:
    """`text` with every character that does not print as itself written as an escape.

    A line break becomes "\\n", an escape character "\\x1b", a direction mark "\\u202e". Spaces stay.
    With `keep_newlines` line breaks stay too.
    """
    return "".join(
        character
        if character.isprintable() or (keep_newlines and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shortened(text: str, max_characters: int) -> str:
    """The start and the end of `text` with "..." between them when it is longer than `max_characters`.

    The end stays because answers stand there.
    """
    if len(text) <= max_characters:
        return text
    kept = max(max_characters - 5, 2)
    head = (kept + 1) // 2
    return f"{text[:head]} ... {text[len(text) - (kept - head) :]}"


def prompt_text(prompt: Prompt) -> str:
    """What was asked, as people read it: plain text, or "role: content" for each message."""
    if isinstance(prompt.content, str):
        return prompt.content
    if len(prompt.content) == 1:
        return prompt.content[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt.content)
