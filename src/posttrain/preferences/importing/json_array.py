"""The elements of one large JSON list, read one by one: tools export whole projects as `[{...}, {...}]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from posttrain.data.record_files import Row, parse_record

_CHUNK_BYTES: Final = 1 << 20
_MAX_RECORD_BYTES: Final = 64 << 20
_SPECIAL: Final = re.compile(rb'["\\{}\[\],]')
_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_OPENING, _CLOSING = b"{[", b"}]"


def array_rows(file: BinaryIO) -> Iterator[Row]:
    """(number from 1, the record or why there is none) of each element; no more than one is held in memory.

    A list that is cut off, goes on behind its end, or whose quotes do not close ends with a row that says so.
    """
    depth, in_string, offset, escaped_at, number = 0, False, 0, -1, 0
    piece = bytearray()
    while chunk := file.read(_CHUNK_BYTES):
        begin = 0
        for match in _SPECIAL.finditer(chunk):
            at = match.start()
            byte = chunk[at]
            if offset + at == escaped_at:
                continue
            if in_string:
                if byte == _BACKSLASH:
                    escaped_at = offset + at + 1
                in_string = byte != _QUOTE
            elif byte == _QUOTE:
                in_string = True
            elif byte in _OPENING:
                depth += 1
                if depth == 1:
                    begin = at + 1
            elif byte in _CLOSING or (byte == _COMMA and depth == 1):
                depth -= byte in _CLOSING
                if depth > 1 or (depth == 1 and byte in _CLOSING):
                    continue
                piece += chunk[begin:at]
                begin = at + 1
                if piece.strip() or number or byte == _COMMA:  # else the list is empty
                    number += 1
                    yield number, parse_record(bytes(piece))
                piece.clear()
                if depth == 0:
                    if chunk[begin:].strip() or file.read(_CHUNK_BYTES).strip():
                        yield number + 1, "the list has ended before it, and the file goes on"
                    return
        piece += chunk[begin:]
        offset += len(chunk)
        if len(piece) > _MAX_RECORD_BYTES:
            yield (
                number + 1,
                f"larger than {_MAX_RECORD_BYTES >> 20} MB: a quote or a bracket in it is not closed",
            )
            return
    yield number + 1, "the file ends in the middle of it: it was cut off; export it again"
