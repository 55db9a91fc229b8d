"""A preference store that is filled while samples are made: what is in the file is in the store, whatever crashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posttrain.config.sample import SampleConfig
from posttrain.errors import ConfigError
from posttrain.preferences.importing.sampled_items import add_samples
from posttrain.preferences.sampled_prompt import SampledPrompt, read_samples
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import item_numbers
from posttrain.runs.line_file import count_lines
from posttrain.types import Prompt


@dataclass
class SampledStore:
    """The store of one run, or none. `num_items` counts what this run has in it."""

    store: Store | None
    prefix: str
    source: str
    num_items: int = 0
    num_nothing_to_rank: int = 0

    def add(self, samples: Sequence[SampledPrompt]) -> None:
        """Put these into the store; those that are in it stay as they are."""
        if self.store is None:
            return
        added = add_samples(self.store, samples, prefix=self.prefix, source=self.source)
        self.num_items += added.num_added + added.num_known
        self.num_nothing_to_rank += added.num_nothing_to_rank


@contextmanager
def open_sampled_store(config: SampleConfig, file: Path, prompts: Sequence[Prompt]) -> Iterator[SampledStore]:
    """The store that `config` names, with all that `file` holds already.

    ConfigError, before anything is sampled, where a new run's prompts stand in the store under other samples.
    """
    source = f"sample {config.model}"
    if config.store is None:
        yield SampledStore(None, "", source)
        return
    with open_store(config.store, must_exist=False) as store:
        own = SampledStore(store, config.store_prefix, source)
        if count_lines(file):
            own.add(read_samples(file))
        else:
            _refuse_other_samples(store, config, prompts)
        yield own


def _refuse_other_samples(store: Store, config: SampleConfig, prompts: Sequence[Prompt]) -> None:
    names = [config.store_prefix + prompt.prompt_id for prompt in prompts]
    if known := item_numbers(store, names):
        raise ConfigError(
            f"{store.where} has responses to {len(known)} of these prompts already ({next(iter(known))!r} is one), and "
            'this run would sample others. Set store_prefix = "second/" to have both, or choose another store.'
        )
