"""Prompts and responses in TRL's two forms: a file is all plain text, or all conversations."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from posttrain.data.demonstrations import as_messages
from posttrain.types import Message

Content = str | tuple[Message, ...]


def prompt_digest(prompt: Content) -> bytes:
    """Equal for one prompt, as text or as the user's message; short, so that many can be remembered."""
    encoded = json.dumps(as_messages(prompt, "user"), sort_keys=True).encode()
    return hashlib.blake2b(encoded, digest_size=16).digest()


@dataclass(frozen=True)
class TRLForm:
    """How a file writes prompts and responses; TRL's trainers take one form in a data set."""

    is_conversational: bool

    def prompt(self, prompt: Content) -> Any:
        """The prompt as its column has it."""
        return list(as_messages(prompt, "user")) if self.is_conversational else prompt

    def response(self, text: str) -> Any:
        """A response as its column has it."""
        return [{"role": "assistant", "content": text}] if self.is_conversational else text
