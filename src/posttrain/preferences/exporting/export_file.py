"""A store into a file of one of three formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection

from posttrain.data.demonstrations import Dropped
from posttrain.errors import DataError
from posttrain.preferences.exporting.grade_rows import grade_rows
from posttrain.preferences.exporting.pair_rows import TieRows, pair_rows
from posttrain.preferences.exporting.ranking_rows import ranking_rows
from posttrain.preferences.exporting.table_files import check_place, write_table
from posttrain.preferences.left_out import LeftOutCounts
from posttrain.preferences.store.audit import Actor, note_alone
from posttrain.preferences.store.database import Store

ExportFormat = Literal["rankings", "pairs", "grades"]

_COLUMNS: Final[dict[ExportFormat, tuple[str, ...]]] = {
    "rankings": (
        "id", "item", "prompt", "prompt_is_text", "responses", "finish_reasons", "models", "columns", "gold_ranks",
        "overlap", "annotator", "submission_id", "kind", "ranks", "unacceptable", "grades", "tags", "note",
        "is_flagged", "order_shown", "guideline_version", "seconds", "submitted_at", "settles", "earlier", "guidelines",
    ),
    "pairs": ("id", "prompt", "chosen", "rejected", "annotator", "weight"),
    "grades": ("id", "prompt", "completion", "label", "grade", "is_unacceptable", "annotator", "weight"),
}  # fmt: skip


@dataclass(frozen=True)
class ExportReport:
    """What was written: rows, and what gave none, by reason."""

    path: Path
    num_rows: int
    left_out: tuple[Dropped, ...]


def export_store(
    store: Store,
    path: Path,
    format: ExportFormat = "rankings",
    *,
    ties: TieRows = "drop",
    cut: Literal["leave_out", "keep"] = "leave_out",
    as_messages: bool = False,
    good_from: int = 4,
    by: Actor | None = None,
) -> ExportReport:
    """Everything that holds at one moment, in the file, whole or not at all.

    `rankings` loses nothing of a judgement and its item: importing it into a new store and exporting that gives the
    same bytes (`ranking_rows` says what of the store is not in it). `pairs` are TRL's
    prompt, chosen and rejected, `ties` says what becomes of equal ranks; `grades` are single responses with a label
    that is true from `good_from` up. Both leave out responses that were cut by length unless `cut` is "keep".
    ConfigError for a file that is there or cannot be, DataError where there is nothing to write.
    """
    check_place(path)
    left_out = LeftOutCounts()
    columns = _COLUMNS[format]
    if format == "pairs" and ties == "soft":
        columns = (*columns, "chosen_probability")
    with store.reading() as connection:
        rows = _rows(connection, left_out, format, ties, cut == "keep", as_messages, good_from)
        first = next(rows, None)
        if first is None:
            raise DataError(_nothing(store, format, left_out.dropped()))
        num_rows = write_table(path, chain((first,), rows), columns)
    details = {"format": format, "rows": num_rows}
    note_alone(store, "exported", by=by or Actor(), subject=path.name, details=details)
    return ExportReport(path, num_rows, tuple(left_out.dropped()))


def _rows(
    connection: Connection,
    left_out: LeftOutCounts,
    format: ExportFormat,
    ties: TieRows,
    keep_cut: bool,
    as_messages: bool,
    good_from: int,
) -> Iterator[dict[str, Any]]:
    if format == "rankings":
        return ranking_rows(connection)
    if format == "pairs":
        return pair_rows(connection, left_out, ties=ties, keep_cut=keep_cut, as_messages=as_messages)
    return grade_rows(connection, left_out, good_from=good_from, keep_cut=keep_cut, as_messages=as_messages)


def _nothing(store: Store, format: ExportFormat, left_out: list[Dropped]) -> str:
    reasons = "; ".join(map(str, left_out)) or "nobody has judged anything yet"
    return f"{store.where} has no {format} to write ({reasons}). Rank first: posttrain rank {store.where}"
