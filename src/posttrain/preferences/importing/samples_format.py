"""Lines of `posttrain sample`, and any prompts with responses that nobody has ranked.

    {"id": "q/1", "prompt": "What is 3 + 4?", "responses": ["7", "8"], "finish_reasons": ["eos", "eos"],
     "model": "smollm2", "answer": "7"}

`models` instead of `model` says who wrote each response; `gold_ranks` are the known answer of an item that checks
annotators, `overlap` how many people are to judge it. What is not named here is a column of the prompt.
"""

from __future__ import annotations

from typing import Any, Final

from posttrain.data.finish_reasons import read_finish_reasons
from posttrain.data.record_files import BadRecord, Record, column_of
from posttrain.preferences.importing.imported import ImportedRecord, ReadingOptions, prompt_of, responses_of
from posttrain.preferences.store.ranks import reason_against_ranks
from posttrain.preferences.store.records import NewItem

_OWN_COLUMNS: Final = frozenset(
    ("id", "prompt", "responses", "finish_reasons", "num_drawn", "model", "models", "gold_ranks", "overlap")
)


def read_sample_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord:
    """The item of a samples line; BadRecord says what is wrong with it."""
    given = {name: value for name, value in record.items() if value is not None}
    responses = responses_of(column_of(given, "responses"), "responses")
    overlap = given.get("overlap")
    if overlap is not None and (not isinstance(overlap, int) or isinstance(overlap, bool) or overlap < 1):
        raise BadRecord(f"overlap is {overlap!r}; it counts the people who are to judge the item")
    item = NewItem(
        external_id=record_id,
        prompt=prompt_of(column_of(given, "prompt"), "prompt"),
        responses=responses,
        finish_reasons=read_finish_reasons(given, len(responses)),
        models=models_of(given, len(responses)),
        columns={name: value for name, value in record.items() if name not in _OWN_COLUMNS},
        gold_ranks=gold_ranks_of(given, len(responses)),
        overlap=overlap,
    )
    return ImportedRecord(item)


def models_of(record: Record, num_responses: int) -> tuple[str, ...]:
    """Who wrote each response, from `models` or `model`; () where the record does not say."""
    models: Any = record.get("models")
    if not models:
        model = record.get("model", "")
        if not isinstance(model, str):
            raise BadRecord("the column 'model' must be a text")
        return (model,) * num_responses if model else ()
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise BadRecord("the column 'models' must be a list of names, one for each response")
    if len(models) != num_responses:
        raise BadRecord(f"{len(models)} models for {num_responses} responses; give one for each")
    return tuple(models)


def gold_ranks_of(record: Record, num_responses: int) -> tuple[int, ...] | None:
    """The known answer, from `gold_ranks`; None where the record has none."""
    ranks = record.get("gold_ranks")
    if ranks is None:
        return None
    if not isinstance(ranks, list):
        raise BadRecord("the column 'gold_ranks' must be a list of ranks, one for each response")
    if reason := reason_against_ranks(ranks, num_responses):
        raise BadRecord(f"the column 'gold_ranks' is no ranking: {reason}")
    return tuple(ranks)
