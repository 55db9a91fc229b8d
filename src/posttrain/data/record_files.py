"""Records of JSONL and Parquet files: every line is read, and every bad one is reported with file, line and reason."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from posttrain.errors import DataError

Item = TypeVar("Item")
Record = Mapping[str, Any]

MAX_REPORTED: Final = 5

Row = tuple[int, dict[str, Any] | str]
"""(1-based line or row, the record or the reason why there is none)."""


class BadRecord(ValueError):
    """Why a record cannot be used; `read_records` puts file and line before it."""


def read_records(
    path: str | Path, read: Callable[[Record, str], Item], *, what: str, example: str
) -> list[Item]:
    """What `read(record, id)` makes of each record of the file, in order; `what` they are called in errors.

    The id is the column `id`, else "<file stem>/<row>" counted from 1, and never given twice. `read` raises
    BadRecord. DataError with file, line and reason of the first five bad records and how many more there are;
    also for a file that is missing, empty, or neither JSONL nor Parquet.
    """
    path = Path(path)
    rows, unit = open_rows(path)
    items = list(iterate_records(rows, read, path=path, unit=unit))
    if not items:
        raise DataError(f"{path} holds no {what}; write one JSON object a line, such as {example}")
    return items


def iterate_records(
    rows: Iterable[Row], read: Callable[[Record, str], Item], *, path: Path, unit: str
) -> Iterator[Item]:
    """What `read(record, id)` makes of each row, one by one; ids and errors as in `read_records`.

    The error comes behind the last row: what was given out before it may be of a file with bad records.
    """
    problems: list[str] = []
    num_problems, lines_of_ids = 0, dict[str, int]()
    for line, record in rows:
        try:
            if isinstance(record, str):
                raise BadRecord(record)
            record_id = _id_of(record, f"{path.stem}/{line}")
            item = read(record, record_id)
            first = lines_of_ids.setdefault(record_id, line)
            if first != line:
                raise BadRecord(
                    f"the id {record_id!r} was used in {unit} {first} already; make the ids differ"
                )
        except BadRecord as problem:
            num_problems += 1
            if len(problems) < MAX_REPORTED:
                problems.append(f"{path}, {unit} {line}: {problem}")
        else:
            yield item
    if num_problems:
        more = num_problems - len(problems)
        raise DataError("\n".join(problems) + (f"\nand {more} more bad {unit}s" if more else ""))


def column_of(record: Record, column: str) -> Any:
    """The record's value in that column; BadRecord names the nearest one when there is none."""
    if column not in record:
        near = difflib.get_close_matches(column, record, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; its columns: {', '.join(record) or 'none'}"
        raise BadRecord(f"no column {column!r}{hint}")
    return record[column]


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: "a number", "a list"."""
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return kinds.get(type(value), "a list" if isinstance(value, list) else "an object")


def _id_of(record: Record, default: str) -> str:
    given = record.get("id")
    if given is None:
        return default
    if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip():
        return str(given)
    raise BadRecord(
        f"the column 'id' is {kind_of(given)}; it must be a text that is not empty, or a whole number"
    )


PARQUET: Final = (".parquet", ".pq")
"""How the names of Parquet files end."""


def open_rows(path: Path) -> tuple[Iterator[Row], str]:
    """The rows of a JSONL or Parquet file, read one by one, and what to call one of them."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a .jsonl or .parquet file in it")
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "check the path, it starts at the current folder"
        raise DataError(f"the data file {path} does not exist; {hint}")
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _jsonl_rows(path), "line"
    if suffix in PARQUET:
        return _parquet_rows(path), "row"
    raise DataError(f"{path} is neither .jsonl nor .parquet; convert it, one record a line or row")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from jsonl_rows(file)


def jsonl_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows of these lines; empty ones are passed over."""
    for line, raw in enumerate(lines, start=1):
        if line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            yield line, parse_record(raw)


def parse_record(raw: bytes) -> dict[str, Any] | str:
    """The object that stands there as JSON, or why there is none."""
    try:
        record = json.loads(
            raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_duplicates
        )
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x}); save the file as UTF-8"
    except json.JSONDecodeError as error:
        return f"not valid JSON at column {error.colno}: {error.msg}"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:  # a constant, a duplicate key, or an integer of more digits than Python reads
        return str(error)
    if isinstance(record, list):
        return "a JSON list, not an object; write one object a line (JSONL), not one list for the whole file"
    if not isinstance(record, dict):
        return f"a JSON {kind_of(record)}, not an object; write one object a line with its columns"
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON; write null or leave the column out")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {next(k for k in keys if keys.count(k) > 1)!r} is written twice in one object"
        )
    return record


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            row = 0
            for batch in file.iter_batches(batch_size=4096):
                for record in batch.to_pylist():
                    row += 1
                    yield row, record
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}; write it again or use JSONL") from error
