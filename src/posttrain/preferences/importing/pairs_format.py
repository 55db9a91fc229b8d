"""Pairs: TRL's `prompt`, `chosen`, `rejected` (texts or messages), and hh-rlhf's two transcripts.

    {"prompt": "What is 3 + 4?", "chosen": "7", "rejected": "8", "annotator": "anna"}
    {"chosen": "\\n\\nHuman: What is 3 + 4?\\n\\nAssistant: 7", "rejected": "\\n\\nHuman: ..."}

`chosen_probability` of 0.5 is a tie, as `posttrain store export --ties soft` writes it.
"""

from __future__ import annotations

from typing import Final

from posttrain.data.comparisons import pair_ranks, read_pair
from posttrain.data.record_files import Record
from posttrain.preferences.importing.imported import (
    ImportedJudgement,
    ImportedRecord,
    LeftOut,
    ReadingOptions,
)
from posttrain.preferences.importing.rankings_format import WEIGHTS_ARE_LOST
from posttrain.preferences.store.records import NewItem

_OWN_COLUMNS: Final = frozenset(
    ("id", "prompt", "chosen", "rejected", "annotator", "weight", "margin", "chosen_probability")
)


def read_pair_record(record: Record, record_id: str, options: ReadingOptions) -> ImportedRecord | LeftOut:
    """The item of a pair and the judgement that its two places say; BadRecord for a malformed one."""
    given = {name: value for name, value in record.items() if value is not None}
    pair = read_pair(given)
    if isinstance(pair, str):
        return LeftOut(pair)
    prompt, chosen, rejected = pair
    item = NewItem(
        external_id=record_id,
        prompt=prompt,
        responses=(chosen, rejected),
        columns={name: value for name, value in record.items() if name not in _OWN_COLUMNS},
    )
    judgement = ImportedJudgement(options.name_of(given.get("annotator")), ranks=pair_ranks(given))
    has_weight = given.get("weight", 1.0) != 1.0 or given.get("margin", 0.0) != 0.0
    return ImportedRecord(item, (judgement,), (WEIGHTS_ARE_LOST,) if has_weight else ())
