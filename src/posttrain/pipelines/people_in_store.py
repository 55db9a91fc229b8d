"""The stage `rank` with a preference store: samples in, and once people have judged enough, rankings out."""

from __future__ import annotations

from posttrain.config.rank import RankStageConfig
from posttrain.data.comparisons import LoadedRankings, load_rankings
from posttrain.errors import DataError
from posttrain.preferences.importing.sampled_items import add_samples
from posttrain.preferences.sampled_prompt import read_samples
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.judgements import count_judgements
from posttrain.preferences.store.progress import store_progress
from posttrain.recipes.stored_rankings import write_snapshot


def take_from_store(config: RankStageConfig) -> LoadedRankings:
    """The rankings of the store, written to `config.output`.

    DataError with the command that opens the page, as long as people have not judged enough; the samples are in the
    store then, and the same pipeline goes on where this stopped.
    """
    assert config.store is not None
    with open_store(config.store, must_exist=config.samples is None) as store:
        if config.samples is not None:
            add_samples(store, read_samples(config.samples), source=config.samples.name)
        _check_enough(store, config.min_judgements)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    write_snapshot(config.store, config.output)
    return load_rankings(config.output)


def _check_enough(store: Store, min_judgements: int | None) -> None:
    progress = store_progress(store)
    if min_judgements is None:
        missing = progress.num_wanted - progress.num_judged
        wanted = f"{progress.num_judged} of {progress.num_wanted} judgements of {progress.num_items} prompts"
    else:
        num_judged = count_judgements(store)
        missing = min_judgements - num_judged
        wanted = f"{num_judged} of min_judgements = {min_judgements} judgements"
    if missing > 0 or progress.num_items == 0:
        raise DataError(
            f"this stage waits for people: {wanted} are there, {max(missing, 0)} are missing. Open the page, rank, and "
            f"give the same command again: posttrain rank {store.where}"
        )
