"""The text of a pre-training run: found, divided, tokenised once into the run's folder, and opened from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from posttrain.config.pretrain import PretrainConfig, TextDataSection
from posttrain.data.text_documents import TextSplit, count_documents, read_documents, split_of
from posttrain.data.text_sources import TextSource, content_digest, find_text_sources
from posttrain.data.token_store import FORMAT, TokenDocuments, TokenStore, open_token_store, write_token_store
from posttrain.data.tokenizer_training import train_tokenizer
from posttrain.errors import ConfigError, InvariantError
from posttrain.models.tokenizer_loading import load_tokenizer, tokenizer_digest
from posttrain.recipes.session import TrainingSession
from posttrain.runs.metric_names import count_text
from posttrain.training.checkpoint import replace_folder

_FACT = "text"


@dataclass(frozen=True)
class Corpus:
    """The files to train on and, where they are named, those to measure on."""

    section: TextDataSection
    sources: list[TextSource]
    held_out_sources: list[TextSource] | None

    @classmethod
    def find(cls, section: TextDataSection) -> Corpus:
        """DataError when a name stands for no file that can be read."""
        held_out = None if section.held_out_path is None else find_text_sources(section.held_out_path)
        return cls(section, find_text_sources(section.path), held_out)

    def fingerprint(self, tokenizer: str) -> str:
        """Changes with the files' contents, with what is held out, with the tokenizer, and with this code."""
        held_out = self.held_out_sources
        parts = {
            "format": FORMAT,
            "text": content_digest(self.sources),
            "held_out": None if held_out is None else content_digest(held_out),
            "share": None if held_out is not None else self.section.held_out_share,
            "column": self.section.column,
            "tokenizer": tokenizer,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def divide(self, note: Callable[[str], None]) -> DividedCorpus:
        """Reads everything once: every bad line is found before hours of work. DataError says which."""
        column, note_empty = self.section.column, 0
        counts = count_documents(self.sources, column)
        note_empty += counts.num_empty
        if self.held_out_sources is not None:
            held_out_counts = count_documents(self.held_out_sources, column)
            note_empty += held_out_counts.num_empty
        if note_empty:
            note(f"left out: {count_text(note_empty, 'document')} without any text")
        share = 0.0 if self.held_out_sources is not None else self.section.held_out_share
        return DividedCorpus(self, split_of(counts.num_documents, share))


@dataclass(frozen=True)
class DividedCorpus:
    """A corpus and the rule by which its documents are held out."""

    corpus: Corpus
    split: TextSplit

    def train(self) -> Iterator[str]:
        """Texts to train on, one by one."""
        texts = read_documents(self.corpus.sources, self.corpus.section.column)
        return self.split.part(texts, held_out=False)

    def held_out(self) -> Iterator[str] | None:
        """Texts to measure on, one by one; None where nothing is held out."""
        column = self.corpus.section.column
        if self.corpus.held_out_sources is not None:
            return read_documents(self.corpus.held_out_sources, column)
        if not self.split.held_out_share:
            return None
        return self.split.part(read_documents(self.corpus.sources, column), held_out=True)


def open_text(
    config: PretrainConfig, corpus: Corpus, session: TrainingSession, tokenizer: Any | None
) -> TokenStore:
    """The run's token store, made now unless an earlier start has made it of the same text and tokenizer.

    `tokenizer` is a checkpoint's own, or None: then the settings say which. ConfigError when the text is not what
    the run began with.
    """
    view, settings = session.view, config.tokenizer
    if tokenizer is None and settings.model is not None:
        tokenizer = load_tokenizer(settings.model)
    named = tokenizer_digest(tokenizer) if tokenizer is not None else f"{settings.kind}/{settings.vocab_size}"
    fingerprint = corpus.fingerprint(named)
    _check_same_text(session, fingerprint)
    folder = session.folder.tokens
    store = open_token_store(folder, fingerprint=fingerprint)
    if store is None:
        divided = corpus.divide(view.note)
        if tokenizer is None:
            view.phase("train the tokenizer", 0, 1)
            tokenizer = train_tokenizer(settings.kind, divided.train(), vocab_size=settings.vocab_size)
        replace_folder(folder, partial(_write, divided, tokenizer, fingerprint, session))
        store = open_token_store(folder, fingerprint=fingerprint)
    if store is None:
        raise InvariantError(f"{folder} was written and cannot be opened: delete it and start again")
    session.keep_fact(_FACT, fingerprint)
    view.note(_in_words(store))
    return store


def _write(
    divided: DividedCorpus, tokenizer: Any, fingerprint: str, session: TrainingSession, folder: Path
) -> None:
    write_token_store(
        folder,
        tokenizer,
        divided.train(),
        divided.held_out(),
        fingerprint=fingerprint,
        progress=lambda done: session.view.phase("tokenise: documents", done, done),
    )


def _check_same_text(session: TrainingSession, fingerprint: str) -> None:
    if session.fact(_FACT) not in (None, fingerprint):
        raise ConfigError(
            f"the text or its tokenizer is not what {session.folder.path} began with: another experiment. Put the "
            "files back as they were to go on, or choose another output folder."
        )


def _in_words(store: TokenStore) -> str:
    train, held_out = store.train, store.held_out
    sentence = f"text to train on: {_side_in_words(train)}"
    if held_out is None:
        return f"{sentence}; nothing is held out"
    sentence += f"; held out: {_side_in_words(held_out)}"
    if held_out.num_unknown:
        sentence += (
            f", of them {held_out.num_unknown:,} characters that the training text lacks, read as unknown"
        )
    return sentence


def _side_in_words(documents: TokenDocuments) -> str:
    return (
        f"{count_text(len(documents), 'document')}, {count_text(documents.num_targets, 'token')}, "
        f"{count_text(documents.num_bytes, 'byte')}"
    )
