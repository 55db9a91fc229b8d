"""What a record must be like so that people can rank it, and what is made of the judgements that it brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from posttrain.data.comparisons import EQUAL_TEXTS, ONE_RESPONSE
from posttrain.data.record_files import BadRecord
from posttrain.errors import ConfigError, DataError
from posttrain.preferences.importing.imported import ImportedJudgement, ImportedRecord, LeftOut
from posttrain.preferences.store.item_content import MAX_RESPONSES, check_item
from posttrain.preferences.store.people import checked_name
from posttrain.preferences.store.records import NewItem

TOO_MANY: Final = f"there are more than {MAX_RESPONSES} responses, and nobody can rank so many at once"
NO_ANSWER: Final = "there is no ranking that could be the known answer"

JudgementUse = Literal["keep", "leave_out", "gold"]
"""What is done with a file's judgements: they are people's, are not wanted, or are the answers that check people."""


def rankable(
    record: ImportedRecord | LeftOut, use: JudgementUse, prefix: str, *, check: bool = True
) -> ImportedRecord | LeftOut:
    """The record as the store takes it, with `prefix` before its item's name; or why it is left out.

    Where nobody has ranked them, equal texts become one response. With `check`, BadRecord for an item that the store
    would refuse.
    """
    if isinstance(record, LeftOut):
        return record
    item = replace(record.item, external_id=prefix + record.item.external_id) if prefix else record.item
    if use == "gold":
        ranks = next((own.ranks for own in record.judgements if own.ranks is not None), item.gold_ranks)
        if ranks is None:
            return LeftOut(NO_ANSWER)
        item = replace(item, gold_ranks=ranks)
    judgements = record.judgements if use == "keep" else ()
    if not judgements and item.gold_ranks is None:
        item = _each_text_once(item)
    if len(set(item.responses)) < 2:
        return LeftOut(EQUAL_TEXTS if len(record.item.responses) > 1 else ONE_RESPONSE)
    if len(item.responses) > MAX_RESPONSES:
        return LeftOut(TOO_MANY)
    try:
        if check:
            check_item(item)
        named = tuple(map(_with_checked_name, judgements))
    except (DataError, ConfigError) as error:
        raise BadRecord(str(error)) from error
    return replace(record, item=item, judgements=named)


def _with_checked_name(judgement: ImportedJudgement) -> ImportedJudgement:
    name = checked_name(judgement.annotator)
    return judgement if name == judgement.annotator else replace(judgement, annotator=name)


def _each_text_once(item: NewItem) -> NewItem:
    first: dict[str, int] = {}
    for index, text in enumerate(item.responses):
        first.setdefault(text, index)
    kept = list(first.values())
    lengths = {len(item.models), len(item.finish_reasons)}
    if len(kept) == len(item.responses) or not lengths <= {0, len(item.responses)}:
        return item
    return replace(
        item,
        responses=tuple(item.responses[index] for index in kept),
        finish_reasons=tuple(item.finish_reasons[index] for index in kept) if item.finish_reasons else (),
        models=tuple(item.models[index] for index in kept) if item.models else (),
    )
