"""What a request brings with it, up to a limit: JSON objects and forms."""

from __future__ import annotations

import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import anyio
from starlette.requests import ClientDisconnect, Request

from posttrain.web.refusals import Refusal

SECONDS_TO_ARRIVE = 30
"""A body that takes longer than this is refused, so that slow senders do not hold connections."""


async def read_body(request: Request, limit: int) -> bytes:
    """The bytes of a request's body.

    Raises Refusal 413 for more than `limit` bytes, before they are read where the sender says so; 408 when they do
    not arrive.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        _too_large(limit)
    chunks, size = [], 0
    try:
        with anyio.fail_after(SECONDS_TO_ARRIVE):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise Refusal(408, "The request did not arrive in time. Try again.", code="slow") from None
    except ClientDisconnect:
        raise Refusal(400, "The connection was closed.", code="closed") from None
    return b"".join(chunks)


def _too_large(limit: int) -> NoReturn:
    raise Refusal(413, f"This is larger than the {limit:,} bytes that may be sent here.", code="too_large")


def json_body(request: Request) -> dict[str, Any]:
    """The JSON object that a script sent. Raises Refusal 415 for another type, 400 for anything but an object.

    A half of a surrogate pair (a cut emoji) becomes a question mark: no answer could be written with it.
    """
    if _content_type(request) != "application/json":
        raise Refusal(415, "Send JSON, with the header Content-Type: application/json.", code="not_json")
    try:
        value = json.loads(request.state.body, parse_constant=_refuse_constant)
        # Whatever is taken can be written again: 1e999 was read as infinity.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if not text.isascii():
            value = json.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"This is not JSON: {error}", code="invalid") from None
    if not isinstance(value, dict):
        raise Refusal(400, "This is JSON, but not an object.", code="invalid")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def form_body(request: Request) -> dict[str, str]:
    """The fields of a form; of a field that comes twice the first."""
    if _content_type(request) != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = parse_qsl(
            request.state.body.decode("utf-8"), keep_blank_values=True, max_num_fields=100, errors="strict"
        )
    except ValueError:
        raise Refusal(400, "This form cannot be read as UTF-8 text.", code="invalid") from None
    return dict(reversed(fields))


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
