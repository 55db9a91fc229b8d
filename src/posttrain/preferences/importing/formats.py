"""The formats that can be imported, and which of them a record is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from posttrain.data.record_files import BadRecord, Record
from posttrain.preferences.importing.argilla_format import is_argilla, read_argilla_record
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut, ReadingOptions
from posttrain.preferences.importing.label_studio_format import (
    is_json_min,
    is_label_studio,
    read_label_studio_record,
)
from posttrain.preferences.importing.pairs_format import read_pair_record
from posttrain.preferences.importing.rankings_format import read_ranking_record
from posttrain.preferences.importing.samples_format import read_sample_record
from posttrain.preferences.importing.ultrafeedback_format import read_ultrafeedback_record

Format = Literal["samples", "rankings", "pairs", "argilla", "label_studio", "ultrafeedback"]
Reader = Callable[[Record, str, ReadingOptions], ImportedRecord | LeftOut]

READERS: Final[Mapping[Format, Reader]] = {
    "samples": read_sample_record,
    "rankings": read_ranking_record,
    "pairs": read_pair_record,
    "argilla": read_argilla_record,
    "label_studio": read_label_studio_record,
    "ultrafeedback": read_ultrafeedback_record,
}


def format_of(record: Record) -> Format:
    """The format that the record's columns speak of; BadRecord where none fits."""
    given = {name: value for name, value in record.items() if value is not None}
    if is_label_studio(given):
        return "label_studio"
    if is_json_min(given):
        raise BadRecord(
            "this is Label Studio's JSON-MIN, which does not say who cancelled; export the project as JSON"
        )
    if is_argilla(given):
        return "argilla"
    if "completions" in given and "responses" not in given:
        return "ultrafeedback"
    if "responses" in given:
        return "rankings" if "ranks" in given or "kind" in given else "samples"
    if "chosen" in given or "rejected" in given:
        return "pairs"
    raise BadRecord(
        f"no known format has the columns {', '.join(given) or 'none'}. Known: prompt with responses (and ranks), "
        "prompt with chosen and rejected, exports of Argilla and Label Studio, UltraFeedback"
    )
