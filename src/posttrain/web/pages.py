"""Templates of pages. Everything put into them is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from posttrain.web.access import Role, may

# Where the navigation leads, and who sees it: name, address, lowest role.
NAVIGATION: tuple[tuple[str, str, Role], ...] = (
    ("Rank", "/rank", "annotator"),
    ("Quality", "/quality", "reviewer"),
    ("Annotators", "/annotators", "admin"),
    ("Audit log", "/audit", "admin"),
)


def _instant(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["instant"] = _instant
_templates.globals["static"] = lambda name: f"/static/{name}"


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """The template of this name in `web/templates`, filled in.

    Besides `values` it knows `annotator` (or None), `csrf_token`, `navigation` and `path`. `{{ static("x.css") }}`
    is the address of a file in `web/static`; `{{ seconds | instant }}` is a point in time.
    """
    annotator = getattr(request.state, "annotator", None)
    shown = [
        (name, path)
        for name, path, needs in NAVIGATION
        if annotator is not None and may(annotator.role, needs=needs)
    ]
    html = _templates.get_template(template).render(
        annotator=annotator,
        csrf_token=getattr(request.state, "csrf_token", ""),
        navigation=shown,
        path=request.scope["path"],
        **values,
    )
    # Notes that were imported may hold halves of surrogate pairs, which UTF-8 cannot write.
    return HTMLResponse(html.encode("utf-8", "replace"), status, headers=dict(headers or {}))


def as_sentence(error: Exception) -> str:
    """What an error says, as pages say it: with a capital at the start and a full stop."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
