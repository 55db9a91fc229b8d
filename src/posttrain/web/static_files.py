"""Styles and scripts: the files that lie in `web/static`, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

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


@dataclass(frozen=True, slots=True)
class StaticFile:
    """What is sent of one file."""

    content: bytes
    media_type: str
    tag: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """All files by the path after /static/, read once for as long as the server runs."""
    files = {}
    for path in _FOLDER.rglob("*"):
        if path.suffix in _TYPES and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[path.relative_to(_FOLDER).as_posix()] = StaticFile(content, _TYPES[path.suffix], tag)
    return MappingProxyType(files)


def static_file(request: Request) -> Response:
    """One of the files. Browsers ask anew each time, and an unchanged one costs no bytes.

    What is asked for is looked up among the names that exist, so no path leads out of the folder.
    """
    file = static_files().get(request.path_params["path"])
    if file is None:
        raise Refusal(404, "There is no such file.", code="unknown")
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
