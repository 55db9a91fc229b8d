"""The tags that the ranking page offers, kept in the store so that every server of it offers the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import select

from posttrain.errors import ConfigError
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.judgement_checks import MAX_TAG, MAX_TAGS
from posttrain.preferences.store.schema import settings
from posttrain.preferences.store.settings import write_setting

USUAL_TAGS: Final = (
    "wrong", "made up", "unsafe", "off topic", "ignores instructions", "too long", "repeats itself", "refuses",
    "badly formatted",
)  # fmt: skip
"""Offered until somebody chooses others; annotators add tags of their own in any case."""
_KEY: Final = "suggested_tags"


def suggested_tags(store: Store) -> tuple[str, ...]:
    """The tags that hold for this store now, in the order in which they are offered."""
    with store.reading() as connection:
        kept = connection.execute(select(settings.c.value).filter_by(key=_KEY)).scalar_one_or_none()
    return USUAL_TAGS if kept is None else tuple(kept)


def suggest_tags(store: Store, tags: Iterable[str]) -> tuple[str, ...]:
    """Offer these from now on, none where there are none; what was tagged stays. ConfigError as `checked_tags`."""
    chosen = checked_tags(tags)
    store.write(lambda connection: write_setting(connection, _KEY, list(chosen)))
    return chosen


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without spaces around them. ConfigError for one that no judgement could hold, and for doubled ones."""
    found = tuple(tag.strip() for tag in tags)
    for tag in found:
        if not 0 < len(tag) <= MAX_TAG:
            raise ConfigError(f"the tag {tag!r} has {len(tag)} characters; it must have 1 to {MAX_TAG}")
    doubled = sorted({tag for tag in found if found.count(tag) > 1})
    if doubled:
        raise ConfigError(f"the tag {doubled[0]!r} is there twice. Give each once.")
    if len(found) > MAX_TAGS:
        raise ConfigError(f"these are {len(found)} tags, and a response has at most {MAX_TAGS}. Offer fewer.")
    return found
