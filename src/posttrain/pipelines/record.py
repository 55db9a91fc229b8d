"""pipeline.json: what each stage was done with and what it came to, on disk before and after it runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from posttrain.errors import DataError
from posttrain.runs.durable_file import replace_file

FILE: Final = "pipeline.json"
_FORMAT: Final = 1


@dataclass(frozen=True)
class StageRecord:
    """One stage as it was last run: with which settings, on which inputs (digests by setting), and how far.

    `seconds` are those of all starts that came to an end; a killed one is not in them.
    """

    recipe: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    status: Literal["started", "done"]
    seconds: float = 0.0
    outcome: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def read_records(folder: Path) -> dict[str, StageRecord]:
    """The stages that were started, by name; {} before the first one. DataError when the file is damaged."""
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']}, this version reads {_FORMAT}")
        return {name: StageRecord(**record) for name, record in content["stages"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Move it away: the stages' folders are then moved aside as they are "
            "done again."
        ) from error


def write_records(folder: Path, records: Mapping[str, StageRecord]) -> None:
    """pipeline.json holds these, on disk."""
    stages = {name: dataclasses.asdict(record) for name, record in records.items()}
    text = json.dumps({"format": _FORMAT, "stages": stages}, indent=1)
    replace_file(folder / FILE, text.encode() + b"\n")
