"""UltraFeedback's records: an instruction, completions of several models, and a score of each.

{"instruction": "What is 3 + 4?", "completions": [{"model": "a", "response": "7", "overall_score": 9.0},
                                                  {"model": "b", "response": "8", "overall_score": 2.5}]}
"""

from __future__ import annotations

import math
from typing import Any, Final

from posttrain.data.record_files import BadRecord, Record, kind_of
from posttrain.preferences.importing.imported import (
    ImportedJudgement,
    ImportedRecord,
    ReadingOptions,
    prompt_of,
    without_gaps,
)
from posttrain.preferences.store.records import NewItem

_PROMPTS: Final = ("instruction", "prompt")
_OWN_COLUMNS: Final = frozenset(("id", "completions", "models", *_PROMPTS))


def read_ultrafeedback_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord:
    """The item of a record, and the ranking by its overall scores where every completion has one."""
    given = {name: value for name, value in record.items() if value is not None}
    prompt_column = options.prompt_field or next((name for name in _PROMPTS if name in given), None)
    if prompt_column is None or prompt_column not in given:
        raise BadRecord("no column 'instruction' or 'prompt'; name it with prompt_field")
    completions = given.get("completions")
    if not isinstance(completions, list) or not all(isinstance(one, dict) for one in completions):
        raise BadRecord(f"the column 'completions' is {kind_of(completions)}; it must be a list of objects")
    responses = [completion.get("response") for completion in completions]
    for number, response in enumerate(responses, start=1):
        if not isinstance(response, str):
            raise BadRecord(
                f"completion {number} has a 'response' that is {kind_of(response)}; it must be text"
            )
    models = [completion.get("model") or "" for completion in completions]
    item = NewItem(
        external_id=record_id,
        prompt=prompt_of(given[prompt_column], prompt_column),
        responses=tuple(str(response) for response in responses),
        models=tuple(map(str, models)) if any(models) else (),
        columns={name: value for name, value in record.items() if name not in _OWN_COLUMNS},
    )
    scores = [_score(completion) for completion in completions]
    known = [score for score in scores if score is not None]
    if not known:
        return ImportedRecord(item)
    if len(known) < len(scores):
        return ImportedRecord(item, (), ("its scores, which some completions lack",))
    ranks = without_gaps([-score for score in known])
    return ImportedRecord(item, (ImportedJudgement(options.annotator, ranks=ranks),))


def _score(completion: dict[str, Any]) -> float | None:
    score = completion.get("overall_score")
    if score is None:
        return None
    try:
        value = float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise BadRecord(f"an 'overall_score' is {score!r}; it must be a number")
    return value
