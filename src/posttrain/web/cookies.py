"""The two cookies: of a session, and of a visit before there is one. Scripts cannot read them, other sites not send."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from posttrain.web.access import Access

SESSION, VISIT = "session", "visit"


def cookie_of(request: Request, what: str) -> str:
    """The cookie's value, or nothing."""
    access: Access = request.app.state.access
    return request.cookies.get(access.cookie(what), "")


def set_cookie(request: Request, response: Response, what: str, value: str) -> None:
    """Gives the browser a cookie that it keeps until it is closed; how long a session lasts is the store's to say."""
    access: Access = request.app.state.access
    response.set_cookie(
        access.cookie(what), value, path="/", httponly=True, samesite="strict", secure=access.is_https
    )


def drop_cookie(request: Request, response: Response, what: str) -> None:
    """Takes it back."""
    access: Access = request.app.state.access
    response.delete_cookie(
        access.cookie(what), path="/", httponly=True, samesite="strict", secure=access.is_https
    )


def keep_visit(request: Request, response: Response) -> None:
    """Sets the cookie of a visit that began with this request."""
    if visit := getattr(request.state, "new_visit", None):
        set_cookie(request, response, VISIT, visit)
