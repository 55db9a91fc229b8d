"""A store's judgements as reward models take them: one `Ranking` each, and what teaches nothing, by reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from posttrain.data.comparisons import LoadedRankings, is_text, rankings_of_records
from posttrain.preferences.exporting.judged_items import judged_items
from posttrain.preferences.exporting.ranking_rows import rows_of_item
from posttrain.preferences.left_out import LeftOutCounts
from posttrain.preferences.store.database import Store

_TAUGHT: Final = (
    "id", "item", "prompt", "responses", "finish_reasons", "annotator", "kind", "ranks", "unacceptable", "settles",
)  # fmt: skip
"""What of a judgement a reward model's run needs; notes and times are nobody's business there."""


def training_rankings(store: Store) -> LoadedRankings:
    """Every ranking that is now in force. Where a reviewer settled an item, only what they said of it.

    Left out and counted: skips and items that could not be ranked; responses that were cut by length, and rankings of
    which fewer than two responses are then left; rankings of equal texts; responses that are no text.
    """
    rankings, left_out = [], LeftOutCounts()
    with store.reading() as connection:
        for found in rankings_by_item(connection):
            rankings += found.rankings
            left_out.add_all(found.dropped)
    return LoadedRankings(rankings, left_out.dropped())


def training_lines(connection: Connection) -> Iterator[bytes]:
    """The same as lines of a file, skips included, which `load_rankings` reads; without what is no text."""
    for judged in judged_items(connection):
        for row in rows_of_item(judged):
            if is_text([row["prompt"], row["responses"]]):
                kept = {name: row[name] for name in _TAUGHT if name in row}
                yield json.dumps(kept, allow_nan=False).encode() + b"\n"


def rankings_by_item(connection: Connection, *, keep_cut: bool = False) -> Iterator[LoadedRankings]:
    """What is left of each judged item; with `keep_cut` responses that were cut by length stay in."""
    for judged in judged_items(connection):
        rows: list[Mapping[str, Any]] = list(rows_of_item(judged))
        if keep_cut:
            rows = [{name: value for name, value in row.items() if name != "finish_reasons"} for row in rows]
        yield rankings_of_records(rows)
