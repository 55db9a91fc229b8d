"""The addresses of the ranking page: the page itself, and JSON for its scripts.

GET  /rank                          the page; ?item=12 opens that item
GET  /api/next?besides=3,9          the next item for this person, other than these
GET  /api/items/12                  an item they were given or have judged; reviewers see any
POST /api/items/12/draft            what they have entered so far {content, revision, replaces}
POST /api/items/12/lease            still working at it
POST /api/items/12/judgement        a judgement; the answer brings the next item
GET  /api/items/12/diff?a=0&b=1     what differs between two cards
GET  /api/items/12/raw?card=0       a card's text as it was written, whole (or ?message=0 of the prompt)
GET  /api/history?before=90         what they judged, newest first
GET  /api/progress, /api/guideline

The numbers of items in these addresses, and in all that is said here, are their public ones, which are random.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from posttrain.preferences.store.assignments import assignment_of
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.drafts import draft_of, save_draft
from posttrain.preferences.store.failures import (
    InvalidSubmission,
    NotAssigned,
    StaleDraft,
    StaleJudgement,
    UnknownItem,
)
from posttrain.preferences.store.guidelines import current_guidelines
from posttrain.preferences.store.items import read_items
from posttrain.preferences.store.judgements import history, submit
from posttrain.preferences.store.own_numbers import own_numbers
from posttrain.preferences.store.progress import annotator_progress
from posttrain.preferences.store.public_ids import BITS, item_of_public_id, items_of_public_ids
from posttrain.preferences.store.queue import next_item, renew_lease
from posttrain.preferences.store.records import Assignment
from posttrain.preferences.store.seen_others import has_seen_others
from posttrain.preferences.store.store_mark import store_mark
from posttrain.preferences.store.suggested_tags import suggested_tags
from posttrain.web.access import may
from posttrain.web.bodies import json_body
from posttrain.web.json_response import JSONResponse
from posttrain.web.pages import page
from posttrain.web.ranking.item_json import (
    at_places,
    draft_json,
    guideline_json,
    history_json,
    item_json,
    judgement_json,
    prompt_messages,
)
from posttrain.web.ranking.judgement_body import is_whole, submission_of
from posttrain.web.ranking.rendering import render_plain, warm_up
from posttrain.web.ranking.text_difference import difference
from posttrain.web.refusals import Refusal
from posttrain.web.routes import SecuredRoute, secured

_HISTORY_AT_ONCE = 30
_MOST_BESIDES = 20


def ranking_routes() -> list[SecuredRoute]:
    """The routes of the ranking page; every one asks for an annotator."""
    warm_up()
    post = ("POST",)
    return [
        secured("/", _to_rank, role="annotator"),
        secured("/rank", _rank_page, role="annotator"),
        secured("/api/next", _next, role="annotator"),
        secured("/api/items/{public_id:int}", _item, role="annotator"),
        secured("/api/items/{public_id:int}/draft", _draft, role="annotator", methods=post),
        secured("/api/items/{public_id:int}/lease", _lease, role="annotator", methods=post),
        secured("/api/items/{public_id:int}/judgement", _judgement, role="annotator", methods=post),
        secured("/api/items/{public_id:int}/diff", _difference, role="annotator"),
        secured("/api/items/{public_id:int}/raw", _raw, role="annotator"),
        secured("/api/history", _history, role="annotator"),
        secured("/api/progress", _progress, role="annotator"),
        secured("/api/guideline", _guideline, role="annotator"),
    ]


def _to_rank(request: Request) -> Response:
    return RedirectResponse("/rank", 303)


def _rank_page(request: Request) -> Response:
    store = _store(request)
    # Browsers keep drafts by address, and another store may be served at the same one tomorrow.
    person_mark = f"{store_mark(store)}.{request.state.annotator.id}"
    return page(request, "rank.html", suggested_tags=list(suggested_tags(store)), person_mark=person_mark)


def _next(request: Request) -> Response:
    besides = _numbers(request.query_params.get("besides", ""))
    return JSONResponse({"item": _next_item_json(request, besides)})


def _item(request: Request) -> Response:
    return JSONResponse({"item": _as_json(request, _assignment(request))})


def _draft(request: Request) -> Response:
    assignment, body = _assignment(request), json_body(request)
    revision: Any = body.get("revision")
    content, replaces = body.get("content"), body.get("replaces")
    is_revision = is_whole(revision) and 0 <= revision < 2**53
    if not is_revision or not isinstance(content, dict) or not (replaces is None or is_whole(replaces)):
        raise Refusal(
            422,
            "A draft is an object `content`, a number `revision` and, for a change, the judgement that it `replaces`.",
            code="invalid",
        )
    item_id, person = assignment.item.item_id, request.state.annotator.id
    try:
        saved = save_draft(_store(request), person, item_id, content, revision, replaces=replaces)
    except StaleDraft as stale:
        stored = draft_of(_store(request), person, item_id)
        newer = None if stored is None else draft_json(stored)
        error = f"Revision {stale.revision} of this draft is stored already. It was changed elsewhere; reload the page."
        return JSONResponse({"error": error, "code": "stale_draft", "draft": newer}, 409)
    except StaleJudgement:
        return _stale_judgement(request, "The draft was not stored: you have judged this item meanwhile.")
    return JSONResponse({"revision": saved.revision})


def _lease(request: Request) -> Response:
    store = _store(request)
    try:
        expires_at = renew_lease(store, request.state.annotator.id, _item_id(request))
    except NotAssigned:
        raise Refusal(409, "This item is no longer kept for you.", code="lease_gone") from None
    return JSONResponse({"lease_seconds_left": expires_at - store.now()})


def _judgement(request: Request) -> Response:
    assignment, body = _assignment(request), json_body(request)
    submission = submission_of(
        body,
        item_id=assignment.item.item_id,
        annotator_id=request.state.annotator.id,
        order_shown=assignment.order_shown,
        settles=_settles(request, assignment),
    )
    try:
        done = submit(_store(request), submission, needs_lease=not _is_reviewer(request))
    except StaleJudgement:
        return _stale_judgement(
            request, "The judgement was not stored: it does not replace your current one of this item."
        )
    except InvalidSubmission as error:
        raise Refusal(422, f"The judgement was not stored: {error.reason}", code="invalid") from None
    answer: dict[str, Any] = {"judgement_id": done.judgement_id, "is_new": done.is_new}
    if isinstance(body.get("besides"), list):  # the page asks for one more item on the same way
        besides = [number for number in body["besides"] if is_whole(number)]
        answer["next"] = _next_item_json(request, besides[:_MOST_BESIDES])
    return JSONResponse(answer)


def _stale_judgement(request: Request, error: str) -> Response:
    earlier = _assignment(request).earlier
    current = None if earlier is None else judgement_json(earlier)
    return JSONResponse({"error": error, "code": "stale_judgement", "current": current}, 409)


def _difference(request: Request) -> Response:
    assignment = _assignment(request)
    texts = at_places(assignment.item.responses, assignment.order_shown)
    a, b = (_place(request, name, len(texts)) for name in ("a", "b"))
    return JSONResponse(difference(texts[a], texts[b]).as_json())


def _raw(request: Request) -> Response:
    assignment = _assignment(request)
    if "message" in request.query_params:
        texts = [message["content"] for message in prompt_messages(assignment.item.prompt)]
        text = texts[_place(request, "message", len(texts))]
    else:
        texts = at_places(assignment.item.responses, assignment.order_shown)
        text = texts[_place(request, "card", len(texts))]
    return JSONResponse({"html": render_plain(text, is_whole=True).html})


def _history(request: Request) -> Response:
    before = request.query_params.get("before", "")
    if before and not _is_number(before):
        raise Refusal(400, f"`before` is the number of a judgement, not {before!r}.", code="invalid")
    store = _store(request)
    judgements = history(
        store, request.state.annotator.id, int(before) if before else None, _HISTORY_AT_ONCE + 1
    )
    shown = judgements[:_HISTORY_AT_ONCE]
    with store.reading() as connection:
        item_ids = [one.item_id for one in shown]
        items = read_items(connection, item_ids)
        numbers = own_numbers(connection, request.state.annotator.id, item_ids)
    has_more = len(judgements) > len(shown)
    return JSONResponse(
        {
            "judgements": [history_json(one, items[one.item_id], numbers.get(one.item_id)) for one in shown],
            "next_before": shown[-1].judgement_id if has_more else None,
        }
    )


def _progress(request: Request) -> Response:
    progress = annotator_progress(_store(request), request.state.annotator.id)
    return JSONResponse(
        {
            "num_judged": progress.num_judged,
            "num_skipped": progress.num_skipped,
            "num_items": progress.num_items,
            "num_open": progress.num_open,
        }
    )


def _guideline(request: Request) -> Response:
    return JSONResponse(guideline_json(current_guidelines(_store(request))))


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _item_id(request: Request) -> int:
    with _store(request).reading() as connection:
        try:
            return item_of_public_id(connection, request.path_params["public_id"])
        except UnknownItem:
            raise Refusal(404, "There is no such item.", code="unknown") from None


def _is_reviewer(request: Request) -> bool:
    return may(request.state.annotator.role, needs="reviewer")


def _settles(request: Request, assignment: Assignment) -> bool:
    """Whether a reviewer decides what holds: they opened what was not handed to them, or saw what others say of it."""
    if not _is_reviewer(request):
        return False
    if assignment.earlier is None and assignment.lease_expires_at is None:
        return True
    if assignment.earlier is not None and assignment.earlier.settles:
        return True
    with _store(request).reading() as connection:
        return has_seen_others(connection, request.state.annotator.id, assignment.item.item_id)


def _assignment(request: Request) -> Assignment:
    try:
        return assignment_of(
            _store(request),
            request.state.annotator.id,
            _item_id(request),
            needs_lease=not _is_reviewer(request),
        )
    except UnknownItem:
        raise Refusal(404, "There is no such item.", code="unknown") from None
    except NotAssigned:
        raise Refusal(
            403, "This item was not given to you, so you cannot see or judge it.", code="not_yours"
        ) from None


def _as_json(request: Request, assignment: Assignment) -> dict[str, Any]:
    store = _store(request)
    guideline = current_guidelines(store)
    return item_json(
        assignment,
        now=store.now(),
        guideline_version=None if guideline is None else guideline.version,
        settles=_settles(request, assignment),
    )


def _next_item_json(request: Request, besides: list[int]) -> dict[str, Any] | None:
    store = _store(request)
    with store.reading() as connection:
        known = items_of_public_ids(connection, [number for number in besides if 0 < number < 2**BITS])
    assignment = next_item(store, request.state.annotator.id, besides=list(known.values()))
    return None if assignment is None else _as_json(request, assignment)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _numbers(text: str) -> list[int]:
    parts = [part for part in text.split(",") if part][:_MOST_BESIDES]
    if not all(map(_is_number, parts)):
        raise Refusal(400, "`besides` is a list of numbers of items, such as 3,9.", code="invalid")
    return [int(part) for part in parts]


def _place(request: Request, name: str, num_places: int) -> int:
    text = request.query_params.get(name, "")
    if not _is_number(text) or int(text) >= num_places:
        raise Refusal(400, f"`{name}` is a number from 0 to {num_places - 1}.", code="invalid")
    return int(text)
