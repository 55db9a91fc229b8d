"""Styles and scripts: the files that lie in `web/static`, and no others."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from posttrain.web.refusals import Refusal

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def static_file(request: Request) -> Response:
    """One of the files, asked for anew each time: a changed one is taken at once, an unchanged one costs no bytes.

    What is asked for is looked up among the names that exist, so no path leads out of the folder.
    """
    known = {
        path.relative_to(_FOLDER).as_posix(): path
        for path in _FOLDER.rglob("*")
        if path.suffix in _TYPES and path.is_file()
    }
    path = known.get(request.path_params["path"])
    if path is None:
        raise Refusal(404, "There is no such file.", code="unknown")
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[path.suffix], headers=headers)
