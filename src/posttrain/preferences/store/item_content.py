"""What an item must be like to be stored, and when two items are the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, get_args

from posttrain.errors import DataError
from posttrain.preferences.store.ranks import reason_against_ranks
from posttrain.preferences.store.records import NewItem
from posttrain.types import FinishReason

MIN_RESPONSES: Final = 2
MAX_RESPONSES: Final = 8
_FINISH_REASONS: Final = frozenset((*get_args(FinishReason), ""))


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item that can be stored; `content_hash` is equal for equal content, whatever the order of its columns.

    `finish_reasons` and `models` have an entry for each response, "" where it is not known.
    """

    item: NewItem
    content_hash: str
    finish_reasons: tuple[str, ...]
    models: tuple[str, ...]


def check_item(item: NewItem) -> CheckedItem:
    """The item, ready to be stored. DataError says what is wrong with it."""
    num_responses = len(item.responses)
    if not item.external_id or not _is_plain(item.external_id):
        raise refused(item, "needs a name that is not empty and holds neither NUL nor half a surrogate pair")
    if not MIN_RESPONSES <= num_responses <= MAX_RESPONSES:
        raise refused(item, f"has {num_responses} responses; people rank {MIN_RESPONSES} to {MAX_RESPONSES}")
    if len(set(item.responses)) < 2:
        raise refused(item, "has responses that all have the same text, so there is nothing to rank")
    for what, values in (("finish reasons", item.finish_reasons), ("models", item.models)):
        if values and len(values) != num_responses:
            raise refused(item, f"has {len(values)} {what} for {num_responses} responses")
    if unknown_reasons := [reason for reason in item.finish_reasons if reason not in _FINISH_REASONS]:
        known = ", ".join(get_args(FinishReason))
        raise refused(
            item,
            f"has the finish reason {unknown_reasons[0]!r}; there are {known}, and '' where it is not known",
        )
    if not all(_is_plain(name) for name in item.models):
        raise refused(item, "names a model with NUL or half a surrogate pair")
    if item.gold_ranks is not None and (reason := reason_against_ranks(item.gold_ranks, num_responses)):
        raise refused(item, f"has a known answer that is no ranking: {reason}")
    if item.overlap is not None and item.overlap < 1:
        raise refused(item, f"wants {item.overlap} annotators; at least 1 judges each item")
    unknown = ("",) * num_responses
    reasons, models = tuple(item.finish_reasons) or unknown, item.models or unknown
    content = [item.prompt, item.responses, reasons, models, dict(item.columns), item.gold_ranks]
    return CheckedItem(item, _hash(item, content), reasons, models)


def refused(item: NewItem, reason: str) -> DataError:
    """The error about this item."""
    return DataError(f"the item {item.external_id!r} {reason}")


def _hash(item: NewItem, content: list[Any]) -> str:
    try:
        encoded = json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise refused(item, f"holds something that JSON cannot say: {error}") from error
    return hashlib.sha256(encoded.encode()).hexdigest()


def _is_plain(text: str) -> bool:
    """Whether every database stores the text as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text
