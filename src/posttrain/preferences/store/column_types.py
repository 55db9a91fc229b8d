"""Column types that hold any Python text, in SQLite and PostgreSQL alike."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.types import TypeDecorator

IdNumber = BigInteger().with_variant(Integer, "sqlite")
"""Numbers that name rows: SQLite counts them up only when they are called INTEGER."""


class JsonText(TypeDecorator[Any]):
    """Anything that JSON can say, kept as text; what was a tuple comes back as a list.

    Responses are what a model wrote: they may hold NUL, which PostgreSQL takes in no text, and halves of surrogate
    pairs, which UTF-8 cannot write. JSON escapes the first always and the second where it must.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        """The value as JSON: readable where UTF-8 can write it."""
        return to_json(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        """What the JSON says; None for a missing value, as in an outer join."""
        return None if value is None else json.loads(value)


def to_json(value: Any) -> str:
    """The value as JSON that every database stores; ValueError for NaN and infinities."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text
