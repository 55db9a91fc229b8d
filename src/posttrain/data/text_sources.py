"""Which files a corpus is made of: single files, folders, patterns, and the text that comes with Python."""

from __future__ import annotations

import difflib
import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from posttrain.errors import DataError

PYDOC: Final = "pydoc"
"""The name of the built-in corpus: the help topics of the Python that runs, about 0.5 MB of English."""

PLAIN_SUFFIXES: Final = (".txt", ".text", ".md")
RECORD_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".parquet", ".pq")
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class TextSource:
    """One file of a corpus, or the built-in text (then `path` is None)."""

    path: Path | None

    @property
    def name(self) -> str:
        """What errors and notes call it."""
        return PYDOC if self.path is None else str(self.path)

    @property
    def is_plain(self) -> bool:
        """Whether the whole file is one document, rather than one a line or row."""
        return self.path is not None and self.path.suffix.lower() in PLAIN_SUFFIXES


def find_text_sources(names: str | Sequence[str]) -> list[TextSource]:
    """The files that these names stand for: each a file, a folder (searched through), a pattern, or "pydoc".

    In the order of the names, sorted within a folder or pattern, none twice. DataError for a name that stands for
    nothing, with the nearest one that exists, and for a file of another kind.
    """
    found: dict[TextSource, None] = {}
    for name in [names] if isinstance(names, str) else names:
        found.update(dict.fromkeys([TextSource(None)] if name == PYDOC else _files_of(name)))
    if not found:
        raise DataError('no text: data.path is an empty list. Name a file, a folder, or "pydoc".')
    return list(found)


def content_digest(sources: Sequence[TextSource]) -> str:
    """A digest of what all sources hold, in order; their names and places do not count."""
    whole = hashlib.sha256()
    for source in sources:
        digest = hashlib.sha256()
        if source.path is None:
            for text in pydoc_topics():
                digest.update(text.encode())
        else:
            try:
                with source.path.open("rb") as file:
                    while chunk := file.read(_READ_BYTES):
                        digest.update(chunk)
            except OSError as error:
                raise DataError(f"{source.path} cannot be read: {error.strerror}") from error
        # The kind decides how the bytes are read.
        kind = PYDOC if source.path is None else source.path.suffix.lower()
        whole.update(f"{kind} {digest.hexdigest()}\n".encode())
    return whole.hexdigest()


def pydoc_topics() -> list[str]:
    """The help topics of this Python, by name; DataError for a Python that was installed without them."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            f'this Python has no {error.name}: data.path = "pydoc" does not work here. Name a text file.'
        ) from error
    return [topics[name] for name in sorted(topics)]


def _files_of(name: str) -> list[TextSource]:
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in PLAIN_SUFFIXES + RECORD_SUFFIXES)
        files = [p for p in files if p.is_file() and not p.name.startswith(".")]
        if not files:
            raise DataError(f"the folder {path} holds no {', '.join(PLAIN_SUFFIXES + RECORD_SUFFIXES)} file")
        return [TextSource(p) for p in files]
    if path.is_file():
        return [_checked(path)]
    if glob.has_magic(name):
        files = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())
        if not files:
            raise DataError(f"no file matches {name}; check the pattern, it starts at the current folder")
        return [_checked(p) for p in files]
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, [*siblings, PYDOC], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "check the path, it starts at the current folder"
    raise DataError(f"the data file {path} does not exist; {hint}")


def _checked(path: Path) -> TextSource:
    if path.suffix.lower() not in PLAIN_SUFFIXES + RECORD_SUFFIXES:
        raise DataError(
            f"{path} is none of {', '.join(PLAIN_SUFFIXES + RECORD_SUFFIXES)}; rename a plain text to .txt, or "
            "convert it to one record a line (JSONL) with a column of text"
        )
    return TextSource(path)
