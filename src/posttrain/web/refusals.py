"""Answers to requests that are not served: a sentence of what is wrong and what to do, as JSON or as a page."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from posttrain.errors import PosttrainError
from posttrain.preferences.store.failures import StoreUnavailable
from posttrain.web.json_response import JSONResponse
from posttrain.web.pages import as_sentence, page
from posttrain.web.security_headers import SECURITY_HEADERS

_TITLES = {
    400: "This request cannot be used",
    401: "Please sign in",
    403: "Not allowed",
    404: "There is nothing here",
    405: "There is nothing here",
    408: "Too slow",
    409: "Somebody was faster",
    413: "Too large",
    421: "Wrong address",
    429: "Too many attempts",
    503: "The store does not answer",
}


class Refusal(Exception):
    """A request that is not served. `message` is a sentence for people, `code` a word for the page's scripts."""

    def __init__(
        self, status: int, message: str, *, code: str = "refused", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = dict(headers or {})


def wants_json(request: Request) -> bool:
    """Whether a script asked, by the path: everything under /api/ speaks JSON."""
    path: str = request.scope["path"]  # request.url would read the Host header, which may be anything
    return path.startswith("/api/")


def answer_refusal(request: Request, refusal: Refusal) -> Response:
    """JSON `{"error": sentence, "code": word}` for scripts, a page for people."""
    if wants_json(request):
        body = {"error": refusal.message, "code": refusal.code}
        return JSONResponse(body, refusal.status, headers=refusal.headers)
    return page(
        request,
        "refusal.html",
        status=refusal.status,
        headers=refusal.headers,
        title=_TITLES.get(refusal.status, "This did not work"),
        message=refusal.message,
    )


def answer_http_error(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses: unknown paths and methods."""
    messages = {
        404: "There is no such page. It may have moved, or the address may be mistyped.",
        405: "This address does not take that kind of request.",
    }
    message = messages.get(error.status_code, error.detail)
    return answer_refusal(
        request,
        Refusal(
            error.status_code,
            message,
            code={404: "unknown"}.get(error.status_code, "refused"),
            headers=error.headers,
        ),
    )


def answer_posttrain_error(request: Request, error: PosttrainError) -> Response:
    """An error that its reader can do something about."""
    return answer_refusal(request, Refusal(400, as_sentence(error), code="invalid"))


def answer_store_error(request: Request, error: StoreUnavailable) -> Response:
    """The database is locked, full or gone; what the page holds is not lost, and it may try again."""
    logging.getLogger("posttrain.web").error("%s", error)
    message = "The store does not answer at the moment. Nothing was saved by this request: try again in a few seconds."
    return answer_refusal(request, Refusal(503, message, code="store_away", headers={"Retry-After": "3"}))


def answer_failure(request: Request, error: Exception) -> Response:
    """An error of ours. It is answered outside all middleware, and without a template, which may be what failed."""
    message = (
        "Something went wrong in the server; its terminal says what. What you did last may not be saved."
    )
    if wants_json(request):
        return JSONResponse({"error": message, "code": "failure"}, 500, headers=SECURITY_HEADERS)
    html = f"<!doctype html><html lang=en><title>Error</title><p>{message} <a href=/>Start again</a>.</html>"
    return HTMLResponse(html, 500, headers=SECURITY_HEADERS)
