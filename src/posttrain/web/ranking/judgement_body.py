"""What the page sends when somebody submits, checked and turned into the store's own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

from posttrain.preferences.store.records import JudgementKind, Submission
from posttrain.web.ranking.item_json import of_responses
from posttrain.web.refusals import Refusal

_LONGEST_SECONDS = 24 * 3600.0


def _refuse(what: str) -> Refusal:
    return Refusal(422, f"The judgement was not stored: {what}.", code="invalid")


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; true and false, which Python counts among them, are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _per_card(
    body: dict[str, Any], name: str, num_cards: int, is_one: Callable[[Any], bool], default: Any
) -> list[Any]:
    values = body.get(name, [default] * num_cards)
    if not isinstance(values, list) or len(values) != num_cards or not all(map(is_one, values)):
        raise _refuse(f"`{name}` needs a fitting value for each of the {num_cards} cards")
    return values


def _is_tags(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(tag, str) for tag in value)


def _number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and not is_whole(value):
        raise _refuse(f"`{name}` is a whole number or null, not {value!r}")
    return value


def submission_of(
    body: dict[str, Any], *, item_id: int, annotator_id: int, order_shown: Sequence[int], settles: bool
) -> Submission:
    """The judgement in `body`, whose lists go card by card, as the store takes it. Refusal 422 says what is wrong."""
    num_cards = len(order_shown)
    kind: Any = body.get("kind")
    if kind not in get_args(JudgementKind):
        raise _refuse(f"there is no kind {kind!r}; there are {', '.join(get_args(JudgementKind))}")
    submission_id = body.get("submission_id")
    if not isinstance(submission_id, str) or not submission_id.isascii():
        raise _refuse("`submission_id` is a text that names this judgement and no other")
    ranks = None
    if kind == "ranking":
        ranks = of_responses(_per_card(body, "ranks", num_cards, is_whole, None), order_shown)
    unacceptable = _per_card(body, "unacceptable", num_cards, lambda value: isinstance(value, bool), False)
    grades = _per_card(body, "grades", num_cards, lambda value: value is None or is_whole(value), None)
    tags = _per_card(body, "tags", num_cards, _is_tags, [])
    note, is_flagged, seconds = body.get("note", ""), body.get("is_flagged", False), body.get("seconds", 0)
    if not isinstance(note, str) or not isinstance(is_flagged, bool):
        raise _refuse("`note` is a text and `is_flagged` true or false")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise _refuse("`seconds` is the time worked, 0 or more")
    return Submission(
        submission_id=submission_id,
        item_id=item_id,
        annotator_id=annotator_id,
        kind=kind,
        order_shown=tuple(order_shown),
        ranks=ranks,
        unacceptable=of_responses(unacceptable, order_shown),
        grades=of_responses(grades, order_shown),
        tags=of_responses([tuple(dict.fromkeys(one)) for one in tags], order_shown),
        note=note,
        is_flagged=is_flagged,
        guideline_version=_number(body, "guideline_version"),
        seconds=float(min(seconds, _LONGEST_SECONDS)),
        replaces=_number(body, "replaces"),
        settles=settles,
    )
