"""What `posttrain sample` made, on its way into a store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from posttrain.data.record_files import BadRecord
from posttrain.errors import DataError
from posttrain.preferences.importing.imported import ImportedRecord, LeftOut
from posttrain.preferences.importing.rankable import rankable
from posttrain.preferences.sampled_prompt import SampledPrompt
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import Added, add_items
from posttrain.preferences.store.records import NewItem


@dataclass(frozen=True, slots=True)
class AddedSamples:
    """How many prompts came in, were there before, and have nothing to rank: one response, or equal ones."""

    num_added: int
    num_known: int
    num_nothing_to_rank: int


def add_samples(
    store: Store, samples: Iterable[SampledPrompt], *, prefix: str = "", source: str = ""
) -> AddedSamples:
    """Put samples into the store, each text once; adding them again changes nothing.

    DataError where one's name stands for other content in the store already: then nothing was added.
    """
    items, num_nothing = [], 0
    for sample in samples:
        try:
            found = rankable(ImportedRecord(_item(sample)), "keep", prefix)
        except BadRecord as error:
            raise DataError(str(error)) from error
        if isinstance(found, LeftOut):
            num_nothing += 1
        else:
            items.append(found.item)
    added: Added = add_items(store, items, source=source)
    return AddedSamples(added.num_added, added.num_known, num_nothing)


def _item(sample: SampledPrompt) -> NewItem:
    return NewItem(
        external_id=sample.sample_id,
        prompt=sample.prompt,
        responses=sample.responses,
        finish_reasons=sample.finish_reasons,
        models=(sample.model,) * len(sample.responses) if sample.model else (),
        columns=dict(sample.columns),
    )
