"""The rows of a file that is to be imported: JSONL, one JSON list, either of them with gzip, or Parquet."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from posttrain.data.record_files import Row, jsonl_rows, open_rows
from posttrain.errors import DataError
from posttrain.preferences.importing.json_array import array_rows

_JSON: Final = (".json", ".jsonl", ".ndjson")


class FileRows(NamedTuple):
    """A file's rows, read one by one, and what to call one of them in errors."""

    rows: Iterator[Row]
    unit: str


def open_file_rows(path: Path) -> FileRows:
    """The rows of the file. DataError where it is missing or of another kind."""
    is_packed = path.suffix.lower() == ".gz"
    inner = path.with_suffix("") if is_packed else path
    if not path.is_file() or inner.suffix.lower() not in _JSON:
        if is_packed and path.is_file():
            raise DataError(f"{path} is none of .jsonl.gz and .json.gz; unpack it")
        return FileRows(*open_rows(path))
    with _opened(path, is_packed) as file:
        is_list = _first_byte(file, path) == b"["
    return FileRows(_json_rows(path, is_packed, is_list), "record" if is_list else "line")


def _json_rows(path: Path, is_packed: bool, is_list: bool) -> Iterator[Row]:
    number = 0
    with _opened(path, is_packed) as file:
        try:
            for number, record in array_rows(file) if is_list else jsonl_rows(file):
                yield number, record
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield number + 1, f"gzip cannot unpack it ({error}): the file is cut off or damaged"


def _opened(path: Path, is_packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if is_packed else path.open("rb"))


def _first_byte(file: BinaryIO, path: Path) -> bytes:
    try:
        while block := file.read(4096):
            if rest := block.removeprefix(b"\xef\xbb\xbf").lstrip():
                return rest[:1]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}. Download or export it again.") from error
    return b""
