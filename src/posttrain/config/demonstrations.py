"""How demonstrations are read and written for a model: what sft, inspect and reject-sample have in common."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from posttrain.config.sections import AnywherePath, PromptFormatSection


class DemonstrationFormatSection(PromptFormatSection):
    """Which columns are read, how conversations become tokens, and what of them is learned."""

    messages_column: str = "messages"
    """Column with a conversation, a list of {"role": ..., "content": ...}."""
    prompt_column: str = "prompt"
    """Column with what is asked, text or messages; for example "question"."""
    completion_column: str = "completion"
    """Column with the answer to it, text or messages; for example "answer"."""
    text_column: str = "text"
    """Column with plain text, of which every token is learned."""
    chat_template_path: AnywherePath | None = None
    """A Jinja file with a chat template for a model that has none (or another one); saved with the model."""
    max_length: int = Field(1024, ge=2)
    """Longer demonstrations are cut from the right to so many tokens; what then has nothing to learn is dropped."""
    train_on: Literal["all", "last"] = "all"
    """Learn all assistant turns of a conversation, or only its last one."""


class DemonstrationSection(DemonstrationFormatSection):
    """Demonstrations to learn from, and those that are held out."""

    path: AnywherePath
    """JSONL or Parquet: a column `messages`, or `prompt` and `completion`, or `text`."""
    held_out_path: AnywherePath | None = None
    """The same kind of file for the held-out loss; never trained on."""
    held_out_share: float = Field(0.05, ge=0, lt=1)
    """Without held_out_path: about this share of the questions, by their content; 0 holds nothing out."""
    keep_duplicates: bool = False
    """Train on copies of a demonstration as often as they are in the file."""
    packing: bool = True
    """Several short demonstrations in one row; they do not see each other, and nothing but the speed changes."""

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        if self.held_out_path is not None and self.held_out_path == self.path:
            raise ValueError(
                "data.held_out_path is data.path: nothing would be left to train on. Set data.held_out_share to hold "
                "a share of one file out."
            )
        return self
