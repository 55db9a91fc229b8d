"""Who asks: from the session's cookie to `request.state.annotator`."""

from __future__ import annotations

from starlette.requests import Request

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.sessions import session_holder
from posttrain.web.access import Access, SignedIn
from posttrain.web.cookies import SESSION, VISIT, cookie_of
from posttrain.web.csrf import csrf_token_of


def identify(request: Request) -> None:
    """Sets `annotator` (None for somebody who is not signed in) and `csrf_token` of the request's state."""
    access: Access = request.app.state.access
    secret = cookie_of(request, SESSION)
    holder = session_holder(request.app.state.store, secret, length=access.session_length)
    if holder is not None and holder.kind == "printed" and access.token is None:
        holder = None  # it began on a server that was open to its own machine alone
    request.state.annotator = None
    if holder is not None:
        request.state.annotator = SignedIn(holder.annotator_id, holder.name, holder.role)
        request.state.csrf_token = csrf_token_of(secret)
    else:
        visit = cookie_of(request, VISIT)
        request.state.csrf_token = csrf_token_of(visit) if visit else ""


def address_of(request: Request) -> str:
    """The network address that a request came from, "" where it has none."""
    return request.client.host if request.client else ""


def actor_of(request: Request) -> Actor:
    """Who asks, for the audit log."""
    annotator: SignedIn | None = request.state.annotator
    return Actor(annotator.id if annotator else None, address_of(request))
