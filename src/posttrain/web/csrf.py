"""That a change was asked for by our own page: a token that other sites cannot read, and where the request came from.

The token is derived from the secret in the cookie, so nothing is stored, and it is another one for each session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request

from posttrain.web.bodies import form_body
from posttrain.web.refusals import Refusal

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def csrf_token_of(secret: str) -> str:
    """The token of a session (or of a visit before it); the secret cannot be told from it."""
    return hmac.new(secret.encode(), b"posttrain csrf", hashlib.sha256).hexdigest()


def begin_visit(request: Request) -> None:
    """Gives somebody who is not signed in a secret of their own, so that the sign-in form has a token too.

    Without it another site could sign a browser in as somebody else. The route sets the cookie.
    """
    if not request.state.csrf_token:
        request.state.new_visit = secrets.token_urlsafe(32)
        request.state.csrf_token = csrf_token_of(request.state.new_visit)


def check_origin(request: Request) -> None:
    """Raises Refusal 403 when a browser says that another site asks. Programs that are no browser say nothing."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site != "same-origin" or (origin is not None and not _is_own(origin, request.headers.get("host", ""))):
        raise Refusal(
            403,
            "This request comes from another site, so it is refused. If you reach the server through a proxy, "
            "let it pass the Host header on unchanged.",
            code="other_site",
        )


def _is_own(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def check_csrf_token(request: Request) -> None:
    """Raises Refusal 403 unless the header X-CSRF-Token or the field csrf_token holds the session's token."""
    given = request.headers.get("x-csrf-token") or form_body(request).get("csrf_token", "")
    expected = request.state.csrf_token
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refusal(
            403,
            "This page is out of date: you signed in or out since it was opened, or the browser keeps no cookies. "
            "Reload it and try again.",
            code="stale_page",
        )
