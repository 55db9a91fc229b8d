"""How conversations become text before they become ids: what a reward model must be read with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from posttrain.data.chat_template import encode_prompts, encode_response
from posttrain.types import Prompt


@dataclass(frozen=True, slots=True)
class ConversationFormat:
    """The settings of rendering that a data section has, kept with a reward model so that it is read as it was trained.

    `use_chat_template=None` is the tokenizer's choice: its template where it has one.
    """

    system_prompt: str | None = None
    text_format: str | None = None
    use_chat_template: bool | None = None

    def uses_chat_template(self, tokenizer: Any) -> bool:
        """Whether prompts are rendered with this tokenizer's chat template."""
        if self.use_chat_template is None:
            return bool(getattr(tokenizer, "chat_template", None))
        return self.use_chat_template

    def encode_prompts(self, prompts: Sequence[Prompt], tokenizer: Any) -> list[Prompt]:
        """The prompts with their ids; DataError for one that cannot be rendered so."""
        return encode_prompts(
            prompts,
            tokenizer,
            system_prompt=self.system_prompt,
            text_format=self.text_format,
            use_chat_template=self.use_chat_template,
        )

    def encode_response(self, text: str, tokenizer: Any) -> tuple[int, ...]:
        """The response's ids with the id that ends it."""
        return encode_response(text, tokenizer, use_chat_template=self.use_chat_template)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**values)


def reads_the_same(
    tokenizer: Any, conversation: ConversationFormat, other: Any, other_conversation: ConversationFormat
) -> bool:
    """Whether ids that one of two tokenizers and formats made mean the same to the other.

    System prompts may differ: they are part of what was said, not of how it is written.
    """
    chat = conversation.uses_chat_template(tokenizer)
    if chat != other_conversation.uses_chat_template(other):
        return False
    if chat and tokenizer.chat_template != other.chat_template:
        return False
    if not chat and conversation.text_format != other_conversation.text_format:
        return False
    same_ends = all(
        getattr(tokenizer, f"{n}_token_id") == getattr(other, f"{n}_token_id") for n in ("bos", "eos")
    )
    return same_ends and tokenizer.get_vocab() == other.get_vocab()
