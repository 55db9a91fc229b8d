"""/audit: who did what, for admins."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from posttrain.preferences.store.audit import ACTIONS, audit_entries
from posttrain.web.pages import page
from posttrain.web.refusals import Refusal

_AT_ONCE = 100


def audit_page(request: Request) -> Response:
    """GET /audit?action=...&before=...: the newest entries, or those before one."""
    action = request.query_params.get("action") or None
    given = request.query_params.get("before", "")
    if action is not None and action not in ACTIONS:
        raise Refusal(400, f"The log knows no action {action!r}.", code="invalid")
    if given and not (given.isascii() and given.isdigit() and len(given) <= 15):
        raise Refusal(400, "`before` is the number of an entry.", code="invalid")
    entries = audit_entries(
        request.app.state.store, before=int(given) if given else None, action=action, limit=_AT_ONCE + 1
    )
    older = (
        f"/audit?action={action or ''}&before={entries[_AT_ONCE - 1].entry_id}"
        if len(entries) > _AT_ONCE
        else ""
    )
    return page(
        request, "audit.html", entries=entries[:_AT_ONCE], actions=ACTIONS, action=action, older=older
    )
