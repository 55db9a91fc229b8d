"""Routes that say who may use them. An app takes no others (`web.app`).

What an endpoint, a plain function `(request) -> Response`, finds (it runs in a thread, so it may wait for the store):

    request.state.annotator     SignedIn(id, name, role), or None on routes for anyone
    request.state.csrf_token    what forms send as `csrf_token` and scripts as the header X-CSRF-Token
    request.state.body          the bytes that came with the request; `bodies.json_body` and `form_body` read them
    request.app.state.store     the preference store
    request.app.state.access    how people come in

It raises `Refusal(status, sentence, code=...)` for what it does not serve. Paths under /api/ speak JSON, also then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from posttrain.web.access import ROLES, Role, may
from posttrain.web.bodies import read_body
from posttrain.web.cookies import keep_visit
from posttrain.web.csrf import SAFE_METHODS, check_csrf_token, check_origin
from posttrain.web.identity import identify
from posttrain.web.refusals import Refusal, wants_json

Endpoint = Callable[[Request], Response]

BODY_LIMIT = 256 * 1024
"""Bytes that a request may bring, unless its route says otherwise."""


class SecuredRoute(Route):
    """A route with the lowest role that may use it."""

    role: Role


def secured(
    path: str,
    endpoint: Endpoint,
    *,
    role: Role,
    methods: Collection[str] = ("GET",),
    name: str | None = None,
    max_body_bytes: int = BODY_LIMIT,
) -> SecuredRoute:
    """A route that serves people of this role and above, and changes nothing for requests from other sites.

    Who is not signed in is sent to sign in (401 for scripts); who may not use it gets 403.
    """
    if role not in ROLES:
        raise ValueError(f"{path}: {role!r} is no role; choose one of {', '.join(ROLES)}")

    async def guarded(request: Request) -> Response:
        request.state.body = b""
        if request.method not in SAFE_METHODS:
            check_origin(request)
            request.state.body = await read_body(request, max_body_bytes)
        return await run_in_threadpool(_serve, request, endpoint, role)

    route = SecuredRoute(path, guarded, methods=list(methods), name=name or endpoint.__name__)
    route.role = role
    return route


def _serve(request: Request, endpoint: Endpoint, role: Role) -> Response:
    identify(request)
    annotator = request.state.annotator
    if role != "anyone" and annotator is None:
        return _sign_in_first(request)
    if annotator is not None and not may(annotator.role, needs=role):
        raise Refusal(
            403,
            f"You are signed in as {annotator.name}, {_with_article(annotator.role)}; this is for "
            f"{role}s. An admin can change your role.",
            code="role",
        )
    if request.method not in SAFE_METHODS:
        check_csrf_token(request)
    response = endpoint(request)
    keep_visit(request, response)
    return response


def _sign_in_first(request: Request) -> Response:
    if wants_json(request):
        raise Refusal(
            401,
            "You are signed out. Sign in again in another tab; what you did is kept here.",
            code="signed_out",
        )
    if request.method == "GET" and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        # Followed from another site, a link comes without our SameSite=Strict cookie. The page asks again itself.
        return HTMLResponse(
            '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0"><title>Opening</title></html>'
        )
    query = request.scope["query_string"].decode("latin-1")
    target = request.scope["path"] + (f"?{query}" if query else "")
    after = f"?next={quote(target, safe='')}" if request.method == "GET" and target != "/" else ""
    return RedirectResponse(f"/login{after}", 303)


def _with_article(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
