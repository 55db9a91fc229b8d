"""What the page is told of an item, card by card in the order shown. Never: models, known answers, other people.

An item is told by its public number, which is random, and by its place in the person's own work: nothing tells an item
with a known answer from others.

The page counts cards from 0 at the left; the store counts responses as they were imported. `at_places` and
`of_responses` are the only two functions that go between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from posttrain.preferences.store.guidelines import Guidelines
from posttrain.preferences.store.records import Assignment, Draft, Item, Judgement
from posttrain.types import Message
from posttrain.web.ranking.rendering import Rendered, render_markdown, render_plain, render_together

# Longer ones are fetched when somebody wants to see them raw.
_LONGEST_RAW = 20_000
_START_OF_PROMPT = 140
T = TypeVar("T")


def at_places(values: Sequence[T], order_shown: Sequence[int]) -> list[T]:
    """Values of responses as they stand on the page."""
    return [values[response] for response in order_shown]


def of_responses(values: Sequence[T], order_shown: Sequence[int]) -> tuple[T, ...]:
    """Values of cards as the store counts responses: undoes `at_places`."""
    back = sorted(range(len(order_shown)), key=lambda place: order_shown[place])
    return tuple(values[place] for place in back)


def prompt_messages(prompt: str | tuple[Message, ...]) -> list[Message]:
    """A prompt as messages; text is one message of a user."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def item_json(
    assignment: Assignment, *, now: float, guideline_version: int | None, settles: bool = False
) -> dict[str, Any]:
    """Everything the page shows of an item, with all texts as safe HTML."""
    item, order = assignment.item, assignment.order_shown
    messages = prompt_messages(item.prompt)
    responses = at_places(item.responses, order)
    reasons = at_places(item.finish_reasons, order) if item.finish_reasons else [None] * len(responses)
    rendered = render_together([*(message["content"] for message in messages), *responses])
    cards = [
        {
            **text_json(text, one),
            "num_words": len(text.split()),
            "num_characters": len(text),
            "is_cut_off": reason == "length",
        }
        for text, one, reason in zip(responses, rendered[len(messages) :], reasons, strict=True)
    ]
    expires_at = assignment.lease_expires_at
    return {
        "id": item.public_id,
        "number": assignment.own_number,
        "prompt": [
            {"role": message["role"], **text_json(message["content"], one)}
            for message, one in zip(messages, rendered, strict=False)
        ],
        "cards": cards,
        "lease_seconds_left": None if expires_at is None else max(0.0, expires_at - now),
        "draft": None if assignment.draft is None else draft_json(assignment.draft),
        "earlier": None if assignment.earlier is None else judgement_json(assignment.earlier),
        "guideline_version": guideline_version,
        "settles": settles,
    }


def text_json(text: str, rendered: Rendered) -> dict[str, Any]:
    """A text as it is read and, unless it is long, as it was written."""
    return {
        "html": rendered.html,
        "note": rendered.note,
        "is_partial": rendered.is_partial,
        "raw_html": render_plain(text).html if len(text) <= _LONGEST_RAW else None,
    }


def draft_json(draft: Draft) -> dict[str, Any]:
    """What somebody has entered so far; the content is the page's own."""
    return {"content": draft.content, "revision": draft.revision, "updated_at": draft.updated_at}


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """A person's own judgement, card by card."""
    order = judgement.order_shown
    return {
        "judgement_id": judgement.judgement_id,
        "kind": judgement.kind,
        "ranks": None if judgement.ranks is None else at_places(judgement.ranks, order),
        "unacceptable": at_places(judgement.unacceptable, order),
        "grades": at_places(judgement.grades, order),
        "tags": [list(tags) for tags in at_places(judgement.tags, order)],
        "note": judgement.note,
        "is_flagged": judgement.is_flagged,
        "seconds": judgement.seconds,
        "submitted_at": judgement.submitted_at,
    }


def history_json(judgement: Judgement, item: Item, own_number: int | None) -> dict[str, Any]:
    """One line of the list of what somebody judged, with the start of the last message asked."""
    text = " ".join(prompt_messages(item.prompt)[-1]["content"][: 4 * _START_OF_PROMPT].split())
    start = text if len(text) <= _START_OF_PROMPT else text[:_START_OF_PROMPT].rstrip() + "…"
    return {
        **judgement_json(judgement),
        "id": item.public_id,
        "number": own_number,
        "prompt_html": render_plain(start).html,
    }


def guideline_json(guideline: Guidelines | None) -> dict[str, Any]:
    """What annotators are told, `version` None where nothing is."""
    if guideline is None:
        return {"version": None, "html": ""}
    return {
        "version": guideline.version,
        "html": render_markdown(guideline.text).html,
        "created_at": guideline.created_at,
    }
