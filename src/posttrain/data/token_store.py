"""A corpus as token ids in files that are mapped into memory: tokenised once, opened in no time, read anywhere.

    contents.json       fingerprint, ids of start and end, counts and sizes; written last
    train.ids           every document's ids and its end, one behind another: 2 or 4 bytes an id
    train.offsets       where each document begins, and where the last one ends: 8 bytes each
    held_out.ids, ...   the same for what is measured on and never trained on
    tokenizer/          the tokenizer

The ids of a document together with its end are its targets: what a model learns to predict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from posttrain.data.tokenizer_training import DocumentEnds, document_ends, encode_documents
from posttrain.errors import DataError

FORMAT: Final = 1
"""Part of every fingerprint: raise it when the files, or how they are made, change."""
CONTENTS: Final = "contents.json"
TOKENIZER: Final = "tokenizer"
SIDES: Final = ("train", "held_out")
_BATCH_CHARACTERS: Final = 1 << 20

Progress = Callable[[int], None]
"""Is told how many documents are done."""


@dataclass(frozen=True, eq=False)
class TokenDocuments:
    """One side of a corpus. Document d's targets are `ids[offsets[d]:offsets[d + 1]]`: its ids and its end.

    `num_bytes` counts the documents' text in UTF-8; `num_unknown` the characters or pieces that the tokenizer
    had no id for.
    """

    ids: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    ends: DocumentEnds
    num_bytes: int
    num_unknown: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_targets(self) -> int:
        """Tokens to be predicted: every id, and an end for each document."""
        return int(self.offsets[-1])

    def piece(self, document: int, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Targets `start` to `stop` of a document behind the token before them: `stop - start + 1` ids."""
        first = int(self.offsets[document]) + start
        before = self.ends.start_id if start == 0 else self.ids[first - 1]
        targets = self.ids[first : first + stop - start]
        return np.concatenate([[before], targets]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class TokenStore:
    """A tokenised corpus: `held_out` is None where nothing is held out. `folder` holds the tokenizer, too."""

    folder: Path
    train: TokenDocuments
    held_out: TokenDocuments | None

    @property
    def tokenizer_folder(self) -> Path:
        """What `AutoTokenizer.from_pretrained` opens."""
        return self.folder / TOKENIZER


def write_token_store(
    folder: Path,
    tokenizer: Any,
    train: Iterable[str],
    held_out: Iterable[str] | None,
    *,
    fingerprint: str,
    progress: Progress = lambda done: None,
) -> None:
    """Fills an empty folder, one batch of documents in memory at a time. Make it whole or not there yourself.

    DataError when a side that is asked for has no document.
    """
    ends = document_ends(tokenizer)
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
    contents: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "dtype": dtype.name,
        "start_id": ends.start_id,
        "end_id": ends.end_id,
    }
    for side, texts in zip(SIDES, (train, held_out), strict=True):
        if texts is not None:
            contents[side] = _write_side(folder, side, texts, tokenizer, ends, dtype, progress)
    tokenizer.save_pretrained(folder / TOKENIZER)
    (folder / CONTENTS).write_text(json.dumps(contents, indent=1) + "\n")


def open_token_store(folder: Path, *, fingerprint: str) -> TokenStore | None:
    """The store in the folder; None when there is none, it is damaged, or it was made of something else."""
    try:
        contents = json.loads((folder / CONTENTS).read_bytes())
        if contents["format"] != FORMAT or contents["fingerprint"] != fingerprint:
            return None
        if not (folder / TOKENIZER).is_dir():
            return None
        sides = {side: _open_side(folder, side, contents) for side in SIDES if side in contents}
        return TokenStore(folder, sides["train"], sides.get("held_out"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_side(
    folder: Path,
    side: str,
    texts: Iterable[str],
    tokenizer: Any,
    ends: DocumentEnds,
    dtype: np.dtype[Any],
    progress: Progress,
) -> dict[str, int]:
    num_documents = num_targets = num_bytes = num_unknown = 0
    unknown = tokenizer.unk_token_id
    with open(folder / f"{side}.ids", "wb") as ids, open(folder / f"{side}.offsets", "wb") as offsets:
        offsets.write(np.zeros(1, np.int64).tobytes())
        for batch in _batches(texts):
            for text, encoded in zip(batch, encode_documents(tokenizer, batch), strict=True):
                targets = np.array([*encoded, ends.end_id], dtype)
                ids.write(targets.tobytes())
                num_targets += len(targets)
                offsets.write(np.array([num_targets], np.int64).tobytes())
                num_bytes += len(text.encode())
                num_unknown += 0 if unknown is None else int(np.count_nonzero(targets[:-1] == unknown))
                num_documents += 1
            progress(num_documents)
    if not num_documents:
        raise DataError(_nothing_in(side))
    return {
        "documents": num_documents,
        "targets": num_targets,
        "bytes": num_bytes,
        "unknown": num_unknown,
    }


def _nothing_in(side: str) -> str:
    if side == "train":
        return "no text is left to train on. Lower data.held_out_share, or give more text."
    return "nothing is held out: the text is too short for data.held_out_share. Raise it, or give more text."


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Documents of about a million characters together, so that they are encoded side by side."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _open_side(folder: Path, side: str, contents: dict[str, Any]) -> TokenDocuments:
    """ValueError when a file is not as long as it should be."""
    about, dtype = contents[side], np.dtype(contents["dtype"])
    ids = np.memmap(folder / f"{side}.ids", dtype=dtype, mode="r")
    offsets = np.fromfile(folder / f"{side}.offsets", dtype=np.int64)
    if len(ids) != about["targets"] or len(offsets) != about["documents"] + 1 or offsets[-1] != len(ids):
        raise ValueError(f"{side} is not whole")
    ends = DocumentEnds(contents["start_id"], contents["end_id"])
    return TokenDocuments(ids, offsets, ends, about["bytes"], about["unknown"])
