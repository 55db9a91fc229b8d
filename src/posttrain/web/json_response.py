"""Answers in JSON, whatever texts are in them."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class JSONResponse(Response):
    """JSON in UTF-8, in which halves of surrogate pairs are escaped, as JSON allows: UTF-8 has no place for them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of a value made of dicts, lists, texts, numbers, booleans and None."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")  # which writes them as JSON does: \\ud800
