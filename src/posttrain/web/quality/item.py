"""One item with everyone's judgement, and the form with which a reviewer settles it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from posttrain.preferences.quality.disagreements import Disagreement
from posttrain.preferences.quality.report_cache import cache_of
from posttrain.preferences.quality.settling import settle, settled_items
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import StaleJudgement, UnknownItem
from posttrain.preferences.store.items import get_item
from posttrain.preferences.store.judgements import judgements_of_item
from posttrain.preferences.store.people import list_annotators
from posttrain.preferences.store.records import Item, Judgement
from posttrain.preferences.store.seen_others import note_seen_others
from posttrain.web.bodies import form_body
from posttrain.web.pages import page
from posttrain.web.quality import words
from posttrain.web.ranking.rendering import render_plain, render_together
from posttrain.web.refusals import Refusal

LETTERS = "ABCDEFGH"
_SUBMISSION = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class JudgementRow:
    """What one person said of the item: a cell for each response, or a sentence instead of them."""

    name: str
    role: str
    judgement: Judgement
    instead: str
    cells: tuple[str, ...]


def item_page(request: Request) -> Response:
    """The prompt, the responses, who ranked them how, and the form. Who sees that judges no longer independently."""
    store: Store = request.app.state.store
    item = _item(request, store)
    judgements = judgements_of_item(store, item.item_id)
    settled_by = [own for own in judgements if own.settles]
    person: int = request.state.annotator.id
    own = next((one for one in judgements if one.annotator_id == person), None)
    sees_others = item.gold_ranks is not None or any(one.annotator_id != person for one in judgements)
    if sees_others:
        note_seen_others(store, person, item.item_id)
    texts = render_together(list(item.responses))
    return page(
        request,
        "quality_item.html",
        item=item,
        messages=_messages(item),
        responses=[
            (LETTERS[place], Markup(text.html), item.finish_reasons[place] if item.finish_reasons else "")
            for place, text in enumerate(texts)
        ],
        rows=_rows(store, judgements),
        own=own,
        sees_others=sees_others,
        is_settled=bool(settled_by),
        gold=item.gold_ranks,
        disagreement=_disagreement(store, item.item_id),
        following=_following(store, item.item_id),
        submission_id=str(uuid.uuid4()),
        words=words,
        just_settled=request.query_params.get("settled", "").isdigit() and request.query_params["settled"],
    )


def settle_item(request: Request) -> Response:
    """Stores the reviewer's own judgement, and goes on to the next item that waits for one."""
    store: Store = request.app.state.store
    item = _item(request, store)
    fields = form_body(request)
    submission_id = fields.get("submission_id", "")
    if not _SUBMISSION.fullmatch(submission_id):
        raise Refusal(400, "This form is not complete. Open the item again.", code="invalid")
    is_ranking = fields.get("kind") != "cannot_rank"
    size = len(item.responses)
    given = [fields.get(f"rank_{place}", "") for place in range(size)]
    if is_ranking and not set(given) <= {str(rank) for rank in range(1, size + 1)}:
        raise Refusal(
            400, "Give every response a rank, then settle. Go back: what you chose is kept.", code="ranks"
        )
    replaces = fields.get("replaces", "")
    try:
        settle(
            store,
            submission_id=submission_id,
            item_id=item.item_id,
            annotator_id=request.state.annotator.id,
            ranks=[int(rank) for rank in given] if is_ranking else None,
            unacceptable=[f"unacceptable_{place}" in fields for place in range(size)],
            note=fields.get("note", "").replace("\r\n", "\n"),
            replaces=int(replaces) if re.fullmatch("[0-9]{1,18}", replaces) else None,
        )
    except StaleJudgement:
        raise Refusal(
            409,
            "You have judged this item in another window meanwhile, so this was not stored. Open it again to see that "
            "judgement, and settle it from there.",
            code="stale",
        ) from None
    following = _following(store, item.item_id)
    target = f"/quality/items/{following}" if following else f"/quality/items/{item.item_id}"
    return RedirectResponse(f"{target}?settled={item.item_id}", 303)


def _item(request: Request, store: Store) -> Item:
    number = request.path_params["item_id"]
    if number > 2**53:
        raise Refusal(404, "There is no such item in this store.", code="unknown")
    try:
        return get_item(store, number)
    except UnknownItem:
        raise Refusal(404, "There is no such item in this store.", code="unknown") from None


def _messages(item: Item) -> list[tuple[str, Markup]]:
    """Role and text of each message of the prompt; a plain prompt has no role. Prompts are shown as they are."""
    if isinstance(item.prompt, str):
        return [("", Markup(render_plain(item.prompt).html))]
    return [(turn["role"], Markup(render_plain(turn["content"]).html)) for turn in item.prompt]


def _rows(store: Store, judgements: list[Judgement]) -> list[JudgementRow]:
    people = {person.annotator_id: person for person in list_annotators(store)}
    rows = []
    for own in sorted(judgements, key=lambda one: one.settles):
        instead = {"cannot_rank": "cannot be ranked", "skip": "skipped"}.get(own.kind, "")
        ranks = own.ranks or ()
        cells = tuple(f"{rank + 1} =" if ranks.count(rank) > 1 else f"{rank + 1}" for rank in ranks)
        person = people[own.annotator_id]
        rows.append(JudgementRow(person.name, person.role, own, instead, cells))
    return rows


def _disagreement(store: Store, item_id: int) -> Disagreement | None:
    return next((own for own in cache_of(store).recent().to_settle if own.item_id == item_id), None)


def _following(store: Store, item_id: int) -> int | None:
    """The item to settle after this one, the one with the largest disagreement that is left."""
    settled = settled_items(store)
    waiting = [own.item_id for own in cache_of(store).recent().to_settle]
    return next((one for one in waiting if one != item_id and one not in settled), None)
