"""Judgements as rows from which they can be made again, each with its item: one row for a person and an item.

id                  item and annotator: "q/1/anna"
item                the item's name in the store
prompt, responses   what was judged; `finish_reasons`, `models`, `gold_ranks`, `columns` where the item has them,
                    and `overlap` where it has one of its own
kind                ranking, cannot_rank or skip; `ranks` with a ranking, 0 the best, equal for a tie
annotator           who said it
unacceptable, grades, tags   an entry for each response
note, is_flagged, settles, seconds, submitted_at, guideline_version, submission_id
order_shown         order_shown[place] is the response whose card stood there
earlier             what this judgement corrected, oldest first, in the same words
guidelines          in the first row: the texts of all versions that are named

Not in it: items of which nobody has said anything; how the queue stands (its settings, priorities, targeted queues);
drafts; roles and passwords of people, the audit log; when an item came in and from which file. To keep
those, copy the store itself.

Columns that say nothing are left out of a row. `posttrain reward-model` reads these rows as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from posttrain.preferences.exporting.judged_items import JudgedItem, Said, judged_items
from posttrain.preferences.store.records import Judgement
from posttrain.preferences.store.schema import guidelines


def ranking_rows(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every judgement of a store; importing the rows into a new one and exporting it gives the same rows."""
    texts = [dict(row._mapping) for row in connection.execute(select(guidelines).order_by("version"))]
    for judged in judged_items(connection):
        for row in rows_of_item(judged):
            if texts:
                row["guidelines"] = texts
                texts = []
            yield row


def rows_of_item(judged: JudgedItem) -> Iterator[dict[str, Any]]:
    """One row for each person who said something of the item."""
    for said in judged.said:
        yield _row(judged, said)


def _row(judged: JudgedItem, said: Said) -> dict[str, Any]:
    item = judged.item
    row: dict[str, Any] = {
        "id": f"{item.external_id}/{said.annotator}",
        "item": item.external_id,
        "prompt": item.prompt if isinstance(item.prompt, str) else list(item.prompt),
        "responses": list(item.responses),
        "finish_reasons": list(item.finish_reasons),
        "models": list(item.models),
        "columns": dict(item.columns),
        "gold_ranks": None if item.gold_ranks is None else list(item.gold_ranks),
        "overlap": item.own_overlap,
        "annotator": said.annotator,
        **_said(said.judgement),
        "earlier": [_filled(_said(judgement)) for judgement in said.earlier],
    }
    return _filled(row)


def _said(judgement: Judgement) -> dict[str, Any]:
    own = asdict(judgement)
    for name in ("judgement_id", "item_id", "annotator_id", "replaces"):
        del own[name]
    has_entry = {
        "unacceptable": any(judgement.unacceptable),
        "grades": any(grade is not None for grade in judgement.grades),
        "tags": any(judgement.tags),
    }
    return {name: _as_lists(value) for name, value in own.items() if has_entry.get(name, True)}


def _as_lists(value: Any) -> Any:
    return [_as_lists(one) for one in value] if isinstance(value, tuple) else value


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without columns that say nothing: empty, false, none, and 0 seconds worked."""
    return {name: value for name, value in row.items() if value or name in ("prompt", "submitted_at")}
