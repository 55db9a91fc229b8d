"""Responses to one prompt from several files as one item: how checkpoints are ranked against each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from posttrain.data.demonstrations import as_messages
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut

Named = tuple[str, ImportedRecord | LeftOut]
"""A record, and the name of its file, which stands for a model that the file does not name."""


def joined(records: Iterable[Named]) -> Iterator[ImportedRecord | LeftOut]:
    """One record a prompt, with the responses of all its records in their order and the name of the first one.

    All of them are held in memory. Judgements are not: they rank the responses of one file.
    """
    by_prompt: dict[str, ImportedRecord] = {}
    for file_name, record in records:
        if isinstance(record, LeftOut):
            yield record
            continue
        item = record.item
        models = item.models or (file_name,) * len(item.responses)
        record = replace(record, item=replace(item, models=models), judgements=())
        key = json.dumps(as_messages(item.prompt, "user"), sort_keys=True)
        known = by_prompt.get(key)
        by_prompt[key] = record if known is None else _with_responses_of(known, record)
    yield from by_prompt.values()


def _with_responses_of(first: ImportedRecord, other: ImportedRecord) -> ImportedRecord:
    one, two = first.item, other.item
    knows_ends = bool(one.finish_reasons) and bool(two.finish_reasons)
    item = replace(
        one,
        responses=one.responses + two.responses,
        finish_reasons=one.finish_reasons + two.finish_reasons if knows_ends else (),
        models=one.models + two.models,
        columns={**two.columns, **one.columns},
        gold_ranks=None,
    )
    return replace(first, item=item, left_out=first.left_out + other.left_out)
