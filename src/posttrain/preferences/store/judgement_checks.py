"""Whether a submission fits its item."""

from __future__ import annotations

import math
from typing import Any, Final

from posttrain.preferences.store.failures import InvalidSubmission
from posttrain.preferences.store.ranks import reason_against_ranks
from posttrain.preferences.store.records import Submission

KINDS: Final = ("ranking", "cannot_rank", "skip")
MAX_NOTE: Final = 20_000
MAX_TAG: Final = 100
MAX_TAGS: Final = 50
_MAX_SUBMISSION_ID: Final = 100


def check_submission(submission: Submission, num_responses: int, *, needs_order: bool = True) -> None:
    """Nothing, or InvalidSubmission that says what does not fit an item of that many responses.

    Without `needs_order` the order shown may be empty: imports do not know how the cards stood.
    """
    reason = (
        _against_identity(submission)
        or _against_ranks(submission, num_responses)
        or _against_order(submission, num_responses, needs_order)
        or _against_entries(submission, num_responses)
        or _against_note(submission)
    )
    if reason:
        message = f"the judgement of item {submission.item_id} was not stored: {reason}"
        raise InvalidSubmission(message, reason)


def _against_identity(submission: Submission) -> str | None:
    name = submission.submission_id
    if not (name and name.isascii() and name.isprintable() and len(name) <= _MAX_SUBMISSION_ID):
        return f"a submission's id is 1 to {_MAX_SUBMISSION_ID} printable ASCII characters, such as a UUID"
    if submission.kind not in KINDS:
        return f"there is no judgement of kind {submission.kind!r}; there are {', '.join(KINDS)}"
    return None


def _against_ranks(submission: Submission, num_responses: int) -> str | None:
    if submission.kind != "ranking":
        return "only a ranking has ranks" if submission.ranks is not None else None
    if submission.ranks is None:
        return "a ranking needs ranks"
    return reason_against_ranks(submission.ranks, num_responses)


def _against_order(submission: Submission, num_responses: int, needs_order: bool) -> str | None:
    if not submission.order_shown and not needs_order:
        return None
    if sorted(submission.order_shown) != list(range(num_responses)):
        shown = list(submission.order_shown)
        return f"the order shown is {shown}; it names each of {num_responses} responses once, from 0"
    return None


def _against_entries(submission: Submission, num_responses: int) -> str | None:
    lists: dict[str, tuple[Any, ...]] = {
        "unacceptable": submission.unacceptable,
        "grades": submission.grades,
        "tags": submission.tags,
    }
    for name, values in lists.items():
        if values and len(values) != num_responses:
            return f"{name} has {len(values)} entries for {num_responses} responses"
    for grade in submission.grades:
        if grade is not None and (isinstance(grade, bool) or grade not in (1, 2, 3, 4, 5)):
            return f"a grade is 1 to 5 or none, and one is {grade!r}"
    for tags in submission.tags:
        if len(tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in tags):
            return f"a response has at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters"
    return None


def _against_note(submission: Submission) -> str | None:
    if len(submission.note) > MAX_NOTE:
        return f"the note has {len(submission.note)} characters; at most {MAX_NOTE} are kept"
    if not (math.isfinite(submission.seconds) and submission.seconds >= 0):
        return f"the time worked is {submission.seconds} seconds"
    return None
