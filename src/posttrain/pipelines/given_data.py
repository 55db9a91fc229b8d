"""Files of users that a stage learns from or ranks, read before anything runs: each with the setting that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from posttrain.config.pretrain import PretrainConfig
from posttrain.config.rank import RankStageConfig
from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.config.reward_model import RewardModelConfig
from posttrain.config.sft import SFTConfig
from posttrain.pipelines.stages import Key, Stage

Reading = tuple[Key, Callable[[], object]]
"""A setting, and what raises DataError or ConfigError where the file in it cannot be used."""


def readings(stage: Stage) -> Iterator[Reading]:
    """What reads the files that the stage does not get from another one. Prompts are not among them."""
    config = stage.config
    if isinstance(config, PretrainConfig):
        yield from _text(config)
    elif isinstance(config, SFTConfig):
        yield from _demonstrations(stage, config)
    elif isinstance(config, RewardModelConfig):
        yield from _comparisons(stage, config)
    elif isinstance(config, RankStageConfig):
        yield from _to_be_ranked(stage, config)
    elif (
        isinstance(config, RejectSampleConfig) and config.samples is not None and stage.has_itself("samples")
    ):
        from posttrain.preferences.sampled_prompt import read_samples

        yield ("samples",), partial(read_samples, config.samples)


def _text(config: PretrainConfig) -> Iterator[Reading]:
    from posttrain.recipes.pretraining_text import Corpus

    yield ("data", "path"), partial(Corpus.find, config.data)


def _demonstrations(stage: Stage, config: SFTConfig) -> Iterator[Reading]:
    from posttrain.data.demonstrations import load_demonstrations
    from posttrain.recipes.demonstrations import columns_of, read_demonstrations

    if stage.has_itself("data"):
        yield ("data", "path"), partial(read_demonstrations, config.data)
        return
    for name, path in (("path", config.data.path), ("held_out_path", config.data.held_out_path)):
        if path is not None and stage.has_itself("data", name):
            yield ("data", name), partial(load_demonstrations, path, columns_of(config.data))


def _comparisons(stage: Stage, config: RewardModelConfig) -> Iterator[Reading]:
    from posttrain.data.reference_answers import load_reference_answers
    from posttrain.recipes.comparisons import read_comparisons
    from posttrain.recipes.stored_rankings import read_rankings

    if config.calibration.path is not None and stage.has_itself("calibration"):
        yield ("calibration", "path"), partial(load_reference_answers, config.calibration.path)
    if stage.has_itself("data"):
        yield ("data", "path"), partial(read_comparisons, config)
        return
    for name, path in (("path", config.data.path), ("held_out_path", config.data.held_out_path)):
        if path is not None and stage.has_itself("data", name):
            yield ("data", name), partial(read_rankings, path)


def _to_be_ranked(stage: Stage, config: RankStageConfig) -> Iterator[Reading]:
    from posttrain.preferences.rankings_file import read_rankings_of_people
    from posttrain.recipes.rank_by_rule import read_rankable

    if config.rankings is not None:
        # People may not have written it yet: then the stage says so when its turn comes.
        if stage.has_itself("rankings") and config.rankings.exists():
            yield ("rankings",), partial(read_rankings_of_people, config.rankings)
    elif config.samples is not None and stage.has_itself("samples"):
        yield ("samples",), partial(read_rankable, config.samples)
