"""The demonstrations of a run: read, checked, split and encoded before a model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from posttrain.batches import PackedBatch
from posttrain.config.demonstrations import DemonstrationFormatSection, DemonstrationSection
from posttrain.data.conversation_encoding import encode_demonstrations
from posttrain.data.conversation_format import ConversationFormat
from posttrain.data.demonstrations import (
    Demonstration,
    DemonstrationColumns,
    Dropped,
    load_demonstrations,
    split_by_question,
    without_duplicates,
)
from posttrain.data.encoded_demonstration import EncodedDemonstration
from posttrain.data.packing import filled_share, pack_rows
from posttrain.errors import ConfigError, DataError
from posttrain.runs.metric_names import count_text

SHORT_ROW = 512
"""Tokens up to which attention over a whole row costs little beside everything else, so that filling rows pays."""


@dataclass(frozen=True)
class EncodedData:
    """What a run trains on and what it measures; `dropped` and `num_truncated` count both."""

    train: list[EncodedDemonstration]
    held_out: list[EncodedDemonstration]
    dropped: list[Dropped]
    num_truncated: int

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every token and target, in order: two runs with one fingerprint train on the same."""
        hashed = hashlib.blake2b(digest_size=8)
        for part in (self.train, self.held_out):
            for example in part:
                hashed.update(repr((list(example.token_ids), example.targets)).encode())
            hashed.update(b"|")
        return hashed.hexdigest()

    @property
    def longest(self) -> EncodedDemonstration:
        """The example with the most tokens."""
        return max([*self.train, *self.held_out], key=lambda example: len(example.token_ids))

    def in_words(self, max_length: int) -> list[str]:
        """What there is, what was cut and what was left out, a sentence each."""
        lines = [
            f"{counted(self.train)} to train on; held out: {counted(self.held_out) if self.held_out else 'nothing'}"
        ]
        if self.num_truncated:
            lines.append(
                f"cut at data.max_length = {max_length}: {count_text(self.num_truncated, 'longer example')}"
            )
        return lines + [str(dropped) for dropped in self.dropped]


class ReadDemonstrations(NamedTuple):
    """Both sides of the data, not encoded, and what was left out."""

    train: list[Demonstration]
    held_out: list[Demonstration]
    dropped: list[Dropped]


def read_demonstrations(section: DemonstrationSection) -> ReadDemonstrations:
    """The file's demonstrations, every line checked. DataError says which lines cannot be used, and why."""
    columns = columns_of(section)
    train = load_demonstrations(section.path, columns)
    held_out = [] if section.held_out_path is None else load_demonstrations(section.held_out_path, columns)
    train, dropped = without_duplicates(train, held_out=held_out, keep=section.keep_duplicates)
    if section.held_out_path is None:
        train, held_out = split_by_question(train, section.held_out_share)
    if not train:
        raise _nothing_left(section, dropped)
    return ReadDemonstrations(train, held_out, dropped)


def open_demonstrations(section: DemonstrationSection, tokenizer: Any) -> EncodedData:
    """The file's demonstrations as tokens. DataError says which lines or examples cannot be used, and why."""
    train, held_out, dropped = read_demonstrations(section)
    conversation = conversation_format(section)
    parts = [
        encode_demonstrations(
            part, tokenizer, conversation, max_length=section.max_length, train_on=section.train_on
        )
        for part in (train, held_out)
    ]
    if not parts[0].examples:
        raise _nothing_left(section, [*dropped, *parts[0].dropped])
    return EncodedData(
        train=parts[0].examples,
        held_out=parts[1].examples,
        dropped=[*dropped, *parts[0].dropped, *parts[1].dropped],
        num_truncated=parts[0].num_truncated + parts[1].num_truncated,
    )


def _nothing_left(section: DemonstrationSection, dropped: Sequence[Dropped]) -> DataError:
    reasons = "; ".join(map(str, dropped)) or "all of it is held out"
    return DataError(f"{section.path}: nothing is left to train on: {reasons}")


def columns_of(section: DemonstrationFormatSection) -> DemonstrationColumns:
    """The names of a file's columns."""
    return DemonstrationColumns(
        section.messages_column, section.prompt_column, section.completion_column, section.text_column
    )


def conversation_format(section: DemonstrationFormatSection) -> ConversationFormat:
    """How conversations become text."""
    return ConversationFormat(section.system_prompt, section.text_format, section.use_chat_template)


def use_template_of_file(section: DemonstrationFormatSection, tokenizer: Any) -> None:
    """The tokenizer has the template of `chat_template_path`, where one is named. ConfigError if it is unreadable."""
    if section.chat_template_path is None:
        return
    try:
        tokenizer.chat_template = section.chat_template_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the chat template {section.chat_template_path} cannot be read: {error}"
        ) from error


def packed_batch(examples: Sequence[EncodedDemonstration], section: DemonstrationSection) -> PackedBatch:
    """The examples in rows, several in one where `packing` is on."""
    rows = _rows(examples, section)
    documents = [(example.token_ids, example.loss_mask) for example in examples]
    return PackedBatch.from_documents([[documents[number] for number in row] for row in rows])


def packing_in_words(steps: Sequence[Sequence[EncodedDemonstration]], section: DemonstrationSection) -> str:
    """How full the rows of these steps are, with and without packing."""
    plain, packed, num_rows = 0, 0, 0
    for examples in steps:
        lengths = [len(example.token_ids) for example in examples]
        rows = _rows(examples, section)
        plain += max(lengths) * len(lengths)
        packed += round(sum(lengths) / filled_share(lengths, rows))
        num_rows += len(rows)
    num_tokens = sum(len(example.token_ids) for examples in steps for example in examples)
    num_examples = sum(map(len, steps))
    if not section.packing:
        return f"packing is off: {num_tokens / plain:.0%} of what is computed are tokens, the rest is padding"
    return (
        f"packing: {count_text(num_examples, 'example')} in {count_text(num_rows, 'row')} an epoch, "
        f"{num_tokens / packed:.0%} of what is computed are tokens ({num_tokens / plain:.0%} without packing)"
    )


def _rows(examples: Sequence[EncodedDemonstration], section: DemonstrationSection) -> list[list[int]]:
    """No row is longer than the longest example, or than `SHORT_ROW` where all are shorter and `max_length` allows."""
    if not section.packing:
        return [[number] for number in range(len(examples))]
    lengths = [len(example.token_ids) for example in examples]
    return pack_rows(lengths, max([*lengths, min(section.max_length, SHORT_ROW)]))


def counted(examples: Sequence[EncodedDemonstration]) -> str:
    """How many examples, learned turns, tokens and targets there are, in words."""
    num_tokens = sum(len(example.token_ids) for example in examples)
    num_targets = sum(example.num_targets for example in examples)
    num_turns = sum(len(example.targets) for example in examples)
    return (
        f"{count_text(len(examples), 'example')} with {count_text(num_turns, 'learned turn')}, "
        f"{count_text(num_tokens, 'token')}, {num_targets:,} of them targets ({num_targets / max(num_tokens, 1):.0%})"
    )
