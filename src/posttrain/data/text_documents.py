"""Documents of a corpus, one by one: a plain file is one document, a record file holds one a line or row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from posttrain.data.held_out import is_in_share
from posttrain.data.messages import read_text
from posttrain.data.record_files import MAX_REPORTED, BadRecord, column_of, open_rows
from posttrain.data.text_sources import TextSource, pydoc_topics
from posttrain.errors import DataError

MAX_PLAIN_BYTES: Final = 512 << 20
"""A plain file is one document and is read whole; a larger one must be split, or become records."""

_HELD_OUT_DOCUMENTS: Final = 10
"""So many documents at least must be expected to be held out; with fewer, the end of each is held out instead."""


@dataclass(frozen=True, slots=True)
class TextSplit:
    """How a corpus is divided: by whole documents, or (`cuts_documents`) by the last share of each."""

    held_out_share: float
    cuts_documents: bool

    def part(self, texts: Iterable[str], *, held_out: bool) -> Iterator[str]:
        """The side's documents, or the side's piece of each; never an empty one."""
        for text in texts:
            if self.cuts_documents:
                cut = int(len(text) * (1 - self.held_out_share))
                text = text[cut:] if held_out else text[:cut]
            elif is_in_share(text, self.held_out_share) is not held_out:
                continue
            if text.strip():
                yield text


@dataclass(frozen=True, slots=True)
class CorpusCounts:
    """What `count_documents` found: documents with text, and records without any, which are left out."""

    num_documents: int
    num_empty: int


def split_of(num_documents: int, held_out_share: float) -> TextSplit:
    """By whole documents (by content, see `held_out`) where at least ten are to be expected, else by their ends.

    So one book is trained on up to its last tenth, and of a million web pages a tenth is held out whole.
    """
    return TextSplit(held_out_share, 0 < num_documents * held_out_share < _HELD_OUT_DOCUMENTS)


def count_documents(sources: Sequence[TextSource], column: str) -> CorpusCounts:
    """Reads everything once. DataError with file, line and reason of the first bad records, or when all is empty."""
    found = num_empty = 0
    for text in _all_texts(sources, column):
        if text.strip():
            found += 1
        else:
            num_empty += 1
    if not found:
        names = ", ".join(source.name for source in sources[:3])
        raise DataError(f"there is no text in {names}: every document is empty")
    return CorpusCounts(found, num_empty)


def read_documents(sources: Sequence[TextSource], column: str) -> Iterator[str]:
    """The text of every document that has any, in order; no more than one file or row at a time is in memory.

    Raises DataError as `count_documents` does, after the good documents of the file.
    """
    return (text for text in _all_texts(sources, column) if text.strip())


def _all_texts(sources: Sequence[TextSource], column: str) -> Iterator[str]:
    for source in sources:
        if source.path is None:
            yield from pydoc_topics()
        elif source.is_plain:
            yield _plain_text(source.path)
        else:
            yield from _record_texts(source.path, column)


def _plain_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_PLAIN_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes: a plain text is one document and is read whole, up to "
                f"{MAX_PLAIN_BYTES:,} bytes. Split it, or write one document a line as JSONL."
            )
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from error


def _record_texts(path: Path, column: str) -> Iterator[str]:
    rows, unit = open_rows(path)
    problems: list[str] = []
    num_problems = 0
    for line, record in rows:
        try:
            if isinstance(record, str):
                raise BadRecord(record)
            value = column_of(record, column)
            # An empty text is common in crawled data and no mistake: whoever counts leaves it out.
            text = value if isinstance(value, str) and not value.strip() else read_text(value, column)
        except BadRecord as problem:
            num_problems += 1
            if len(problems) < MAX_REPORTED:
                problems.append(f"{path}, {unit} {line}: {problem}")
        else:
            yield text
    if num_problems:
        more = num_problems - len(problems)
        raise DataError("\n".join(problems) + (f"\nand {more} more bad {unit}s" if more else ""))
