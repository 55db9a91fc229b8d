"""Rankings of a file, or of a store as it stood when the run was first started.

People go on ranking while a model trains. So what a run learns from is written into its folder at its first start,
and a run that is resumed reads it there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from posttrain.data.comparisons import LoadedRankings, load_rankings
from posttrain.data.record_files import open_rows
from posttrain.errors import DataError
from posttrain.preferences.exporting.training_rankings import training_lines, training_rankings
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store_location import is_store, named
from posttrain.runs.durable_file import replace_file
from posttrain.runs.metric_names import count_text
from posttrain.runs.run_folder import RunFolder


class FoundRankings(NamedTuple):
    """Rankings, and sentences for the user about what was left out of them."""

    loaded: LoadedRankings
    remarks: list[str]


def rankings_of(source: Path | str, folder: RunFolder, snapshot: Path, *, keep: bool) -> FoundRankings:
    """The rankings of a file or a store; `snapshot` is the file in the run's folder that keeps a store's.

    Without `keep` nothing is written. DataError for a file that cannot be read and for a store in which nobody has
    judged anything.
    """
    if not is_store(source):
        return _found(source, read_rankings(source))
    if not (folder.is_run and snapshot.exists()):
        if not keep:
            return _found(source, read_rankings(source))
        with folder.lock():
            write_snapshot(source, snapshot)
    found = _found(source, load_rankings(snapshot))
    if num_marked := _num_unacceptable(snapshot):
        found.remarks.append(
            f"{named(source)}: marked unacceptable: {count_text(num_marked, 'response')}. They count by their ranks "
            "alone here; posttrain store export --format grades has the marks."
        )
    return found


def _found(source: Path | str, loaded: LoadedRankings) -> FoundRankings:
    return FoundRankings(loaded, [f"{named(source)}: {entry}" for entry in loaded.dropped])


def read_rankings(source: Path | str) -> LoadedRankings:
    """What a file or a store holds now. DataError for what cannot be read."""
    if not is_store(source):
        return load_rankings(source)
    with open_store(source) as store:
        return training_rankings(store)


def come_from_store(source: Path | str) -> bool:
    """Whether the rankings are of a store, also by way of a file that it was exported to."""
    if is_store(source):
        return True
    rows, _ = open_rows(Path(source))
    first = next(iter(rows), None)
    return first is not None and isinstance(first[1], dict) and "item" in first[1] and "responses" in first[1]


def write_snapshot(source: Path | str, snapshot: Path) -> None:
    """`snapshot` holds what people say in the store now, as lines that `load_rankings` reads."""
    with open_store(source) as store:
        with store.reading() as connection:
            replace_file(snapshot, training_lines(connection))
        if not snapshot.stat().st_size:
            snapshot.unlink()
            raise DataError(
                f"nobody has judged anything in {store.where} yet. Rank first: posttrain rank {store.where}"
            )


def _num_unacceptable(snapshot: Path) -> int:
    with snapshot.open("rb") as file:
        return sum(sum(json.loads(line).get("unacceptable", ())) for line in file)
