"""Rows into a file: JSONL, Parquet, or a folder of the `datasets` library, by the name of the file."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from posttrain.data.record_files import PARQUET
from posttrain.errors import ConfigError, DataError
from posttrain.runs.durable_file import replace_file, sync_folder

_ROWS_AT_ONCE: Final = 1000
_AS_JSON: Final = frozenset(("columns", "earlier", "guidelines"))
"""Objects of any shape, which Parquet has no place for: they become JSON as text."""

_WHOLE, _TEXTS, _WHOLES = "int64", "list<string>", "list<int64>"
_TYPES: Final[Mapping[str, str]] = {
    "responses": _TEXTS,
    "finish_reasons": _TEXTS,
    "models": _TEXTS,
    "gold_ranks": _WHOLES,
    "ranks": _WHOLES,
    "order_shown": _WHOLES,
    "grades": _WHOLES,
    "unacceptable": "list<bool>",
    "tags": "list<list<string>>",
    "is_flagged": "bool",
    "is_unacceptable": "bool",
    "settles": "bool",
    "label": "bool",
    "guideline_version": _WHOLE,
    "grade": _WHOLE,
    "overlap": _WHOLE,
    "seconds": "double",
    "submitted_at": "double",
    "weight": "double",
    "chosen_probability": "double",
}
"""Columns that are no plain text or messages, in Parquet."""


def check_place(path: Path) -> None:
    """ConfigError where nothing can be written at that name, or something lies there already."""
    if path.exists():
        raise ConfigError(f"{path} exists already. Remove it, or choose another name.")
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", "", *PARQUET):
        raise ConfigError(
            f"{path}: take a name that ends with .jsonl or .parquet, or one without an ending for datasets"
        )
    if not suffix and importlib.util.find_spec("datasets") is None:
        raise ConfigError(
            f"{path} has no ending, so it is to be a folder of the library datasets, which is not installed: "
            "pip install datasets, or take a name that ends with .jsonl or .parquet"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}. Choose another name.") from error


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> int:
    """The number of rows that stand in the new file, which is there whole or not at all.

    `columns` are those that rows may have, in order; JSONL leaves out what a row has not. DataError for text that
    Parquet cannot hold; halves of surrogate pairs survive in JSONL alone.
    """
    counted = _Counted(rows)
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        _write_aside(path, lambda aside: _write_parquet(aside, counted, list(columns)))
    elif suffix:
        replace_file(path, (json.dumps(row, allow_nan=False).encode() + b"\n" for row in counted))
    else:
        _write_dataset(path, counted, list(columns))
    return counted.count


class _Counted:
    """Rows that are counted as they go by."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _write_aside(path: Path, write: Any) -> None:
    aside = path.with_name(f".{path.name}.aside")
    try:
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], columns: list[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    waiting = iter(rows)
    # What a prompt is, text or messages, is known from the rows: a column of Parquet holds one of them.
    with tempfile.TemporaryFile() as spool:
        has_messages = _spool(waiting, spool)
        schema = pyarrow.schema([(name, _type(pyarrow, name, has_messages)) for name in columns])
        spool.seek(0)
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            while lines := list(islice(spool, _ROWS_AT_ONCE)):
                chunk = [_as_columns(json.loads(line), columns, has_messages) for line in lines]
                try:
                    writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))
                except (UnicodeEncodeError, pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
                    raise DataError(
                        f"{path.name.removeprefix('.').removesuffix('.aside')} cannot hold a row between "
                        f"{chunk[0].get('id')!r} and {chunk[-1].get('id')!r}: {error}. "
                        "Take a name that ends with .jsonl, which holds any text."
                    ) from error


def _spool(rows: Iterable[Mapping[str, Any]], spool: Any) -> frozenset[str]:
    """All rows as lines of a temporary file; the columns in which some row has messages."""
    found = set()
    for row in rows:
        found |= {
            name for name in ("prompt", "chosen", "rejected", "completion") if isinstance(row.get(name), list)
        }
        spool.write(json.dumps(row, allow_nan=False).encode() + b"\n")
    return frozenset(found)


def _as_columns(row: dict[str, Any], columns: list[str], has_messages: frozenset[str]) -> dict[str, Any]:
    for name in _AS_JSON & set(row):
        row[name] = json.dumps(row[name], allow_nan=False)
    if "prompt" in has_messages and isinstance(row["prompt"], str):
        row["prompt"] = [{"role": "user", "content": row["prompt"]}]
        row["prompt_is_text"] = True
    return {name: row.get(name) for name in columns}


def _type(pyarrow: Any, name: str, has_messages: frozenset[str]) -> Any:
    if name in has_messages:
        return pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    if name == "prompt_is_text":
        return pyarrow.bool_()
    written = _TYPES.get(name, "string")
    inner = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "bool": pyarrow.bool_(),
        "double": pyarrow.float64(),
    }
    depth = written.count("list<")
    found = inner[written.replace("list<", "").rstrip(">")]
    for _ in range(depth):
        found = pyarrow.list_(found)
    return found


def _write_dataset(path: Path, rows: Iterable[Mapping[str, Any]], columns: list[str]) -> None:
    """A folder that `datasets.load_from_disk` opens."""
    import datasets

    path.mkdir()
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            parquet = Path(folder) / path.name  # which errors name
            _write_parquet(parquet, rows, columns)
            found = datasets.Dataset.from_parquet(str(parquet), cache_dir=str(Path(folder) / "cache"))
            found.save_to_disk(str(path))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
