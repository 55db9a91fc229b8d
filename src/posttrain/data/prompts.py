"""Prompts from JSONL and Parquet files, the whole file checked before anything else is loaded.

The column `prompt` is text or a list of messages; `id` names the prompt; all further columns go to the reward.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from posttrain.errors import DataError
from posttrain.types import Message, Prompt

ROLES: Final = ("system", "user", "assistant", "tool")
MAX_REPORTED = 5

_Row = tuple[int, dict[str, Any] | str]
"""(1-based line or row, the record or the reason why there is none)."""


def load_prompts(path: str | Path, *, prompt_column: str = "prompt") -> list[Prompt]:
    """The file's prompts, in order; ids are the column `id`, else "<file stem>/<row>" counted from 1.

    DataError with the file, the line and the reason for the first five bad lines and how many more there are; also
    for a file that is missing, empty, or neither JSONL nor Parquet.
    """
    path = Path(path)
    rows, unit = _open(path)
    prompts: list[Prompt] = []
    problems: list[str] = []
    num_problems, lines_of_ids = 0, dict[str, int]()
    for line, record in rows:
        outcome = record if isinstance(record, str) else _read(record, f"{path.stem}/{line}", prompt_column)
        if isinstance(outcome, Prompt):
            first = lines_of_ids.setdefault(outcome.prompt_id, line)
            if first == line:
                prompts.append(outcome)
                continue
            outcome = f"the id {outcome.prompt_id!r} was used in {unit} {first} already; make the ids differ"
        num_problems += 1
        if len(problems) < MAX_REPORTED:
            problems.append(f"{path}, {unit} {line}: {outcome}")
    if num_problems:
        more = num_problems - len(problems)
        raise DataError("\n".join(problems) + (f"\nand {more} more bad {unit}s" if more else ""))
    if not prompts:
        raise DataError(f"{path} holds no prompts; write one JSON object a line, such as {_EXAMPLE}")
    return prompts


_EXAMPLE: Final = '{"prompt": "What is 3 + 4?", "answer": "7"}'


def _open(path: Path) -> tuple[Iterator[_Row], str]:
    """The file's rows and what to call one of them."""
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
    if suffix in (".parquet", ".pq"):
        return _parquet_rows(path), "row"
    raise DataError(f"{path} is neither .jsonl nor .parquet; convert it, one record a line or row")


def _jsonl_rows(path: Path) -> Iterator[_Row]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if line == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                yield line, _parse(raw)


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The line's object, or why it is none."""
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
        return f"a JSON {_kind(record)}, not an object; write one object a line, such as {_EXAMPLE}"
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


def _parquet_rows(path: Path) -> Iterator[_Row]:
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


def _read(record: Mapping[str, Any], default_id: str, prompt_column: str) -> Prompt | str:
    """The record's prompt, or why it has none."""
    if prompt_column not in record:
        near = difflib.get_close_matches(prompt_column, record, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; its columns: {', '.join(record) or 'none'}"
        return f"no column {prompt_column!r}{hint}"
    content = _content(record[prompt_column], prompt_column)
    if isinstance(content, _Problem):
        return content.reason
    given_id = record.get("id")
    if given_id is None:
        prompt_id = default_id
    elif isinstance(given_id, str | int) and not isinstance(given_id, bool) and str(given_id).strip():
        prompt_id = str(given_id)
    else:
        return f"the column 'id' is {_kind(given_id)}; it must be a text that is not empty, or a whole number"
    columns = {name: value for name, value in record.items() if name not in (prompt_column, "id")}
    return Prompt(prompt_id=prompt_id, content=content, columns=columns)


class _Problem:
    def __init__(self, reason: str) -> None:
        self.reason = reason


def _content(value: Any, column: str) -> str | tuple[Message, ...] | _Problem:
    if isinstance(value, str):
        reason = _text_problem(value)
        return _Problem(f"the column {column!r} {reason}") if reason else value
    if not isinstance(value, list):
        return _Problem(f"the column {column!r} is {_kind(value)}; it must be text or a list of messages")
    if not value:
        return _Problem(f"the column {column!r} is an empty list of messages")
    messages: list[Message] = []
    for number, item in enumerate(value, start=1):
        message = _message(item)
        if isinstance(message, _Problem):
            return _Problem(f"message {number} {message.reason}")
        messages.append(message)
    if messages[-1]["role"] == "assistant":
        return _Problem("the last message is from the assistant; a prompt ends where the model is to answer")
    return tuple(messages)


def _message(item: Any) -> Message | _Problem:
    if not isinstance(item, dict):
        return _Problem(f"is {_kind(item)}, not an object with role and content")
    # Parquet writes a null for every key that some other message has.
    given = {key: value for key, value in item.items() if value is not None}
    for key in ("role", "content"):
        if key not in given:
            near = difflib.get_close_matches(key, given, n=1, cutoff=0.5)
            return _Problem(f"has no {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if not isinstance(given[key], str):
            return _Problem(f"has a {key!r} that is {_kind(given[key])}; only text is supported")
    if given["role"] not in ROLES:
        near = difflib.get_close_matches(given["role"], ROLES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ROLES)}"
        return _Problem(f"has the unknown role {given['role']!r}; {hint}")
    if further := sorted(set(given) - {"role", "content"}):
        return _Problem(
            f"has the further key {further[0]!r}, which would be lost; only role and content are supported"
        )
    reason = _text_problem(given["content"])
    return (
        _Problem(f"({given['role']}) {reason}")
        if reason
        else Message(role=given["role"], content=given["content"])
    )


def _text_problem(text: str) -> str | None:
    if not text.strip():
        return "is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half of a surrogate pair at character {error.start + 1}, which is no text"
    return None


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return kinds.get(type(value), "a list" if isinstance(value, list) else "an object")
