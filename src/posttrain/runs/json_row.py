"""One row of a log as one line of JSON: the same values give the same bytes.

Keys are sorted (`step` first), floats are written by `repr` (the shortest text that reads back as the same
double), and everything outside ASCII is escaped, so no text of a model can end a line early. JSON has no NaN
or infinity: they are written as null, and the key `nonfinite` says what stood where, by JSON Pointer:

    {"step": 7, "grad_norm": null, "nonfinite": {"/grad_norm": "inf"}}

`decode_row` puts them back, so a reader of this package sees the floats and any other reader valid JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
NONFINITE = "nonfinite"


def encode_row(step: int, values: Mapping[str, Any]) -> bytes:
    """The line of a row, newline included.

    Numbers of numpy and tensors with one element are taken as Python numbers.
    TypeError: a value that JSON has no form for. ValueError: a key that is reserved.
    """
    reserved = {"step", NONFINITE} & values.keys()
    if reserved:
        raise ValueError(f"a row's values may not be named {sorted(reserved)}: the log writes those itself")
    nonfinite: dict[str, str] = {}
    plain = {key: _plain(values[key], f"/{_escape(key)}", nonfinite) for key in sorted(values)}
    row: Row = {"step": step, **plain}
    if nonfinite:
        row[NONFINITE] = nonfinite
    return json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(", ", ": ")).encode() + b"\n"


def decode_row(line: bytes) -> Row:
    """The row of a line, with its NaN and infinities back in place. ValueError when it is no complete row."""
    row = json.loads(line.decode("ascii"))  # UnicodeDecodeError is a ValueError too
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        raise ValueError("not an object with a whole number `step`")
    for pointer, number in row.pop(NONFINITE, {}).items():
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        place: Any = row
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[int(last) if isinstance(place, list) else last] = float(number)
    return row


def _plain(value: Any, pointer: str, nonfinite: dict[str, str]) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)  # a plain float also of a subclass such as numpy.float64
        nonfinite[pointer] = str(float(value))
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{pointer}: the key {key!r} is not text, which JSON needs. Use str keys.")
        return {key: _plain(value[key], f"{pointer}/{_escape(key)}", nonfinite) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{pointer}/{index}", nonfinite) for index, item in enumerate(value)]
    if callable(getattr(value, "item", None)) and getattr(value, "size", None) is not None:
        return _plain(value.item(), pointer, nonfinite)  # numpy scalars and tensors; several elements raise
    raise TypeError(
        f"{pointer}: {type(value).__name__} has no JSON form. Log numbers, text, lists and dicts of these."
    )


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
