"""Which stages are to run: --only, --from and --skip, and whether what they need is there."""

from __future__ import annotations

from collections.abc import Sequence

from posttrain.config.pipeline import PipelineConfig
from posttrain.errors import ConfigError
from posttrain.pipelines.stage_kinds import near
from posttrain.pipelines.stages import Stage


def choose(config: PipelineConfig, stages: Sequence[Stage]) -> frozenset[str]:
    """The names of the stages that are looked at; the others are taken as they are.

    ConfigError for a name that is no stage's, and for a stage that needs the output of one that is not to run and
    has none.
    """
    names = [stage.name for stage in stages]
    by_name = {stage.name: stage for stage in stages}
    for option, name in [
        ("only", config.only),
        ("from", config.from_stage),
        *(("skip", skipped) for skipped in config.skip),
    ]:
        if name is not None and name not in by_name:
            raise ConfigError(f"--{option} {name}: there is no such stage. {near(name, by_name)}")
    chosen = set(names) if config.only is None else {config.only}
    if config.from_stage is not None:
        chosen &= set(names[names.index(config.from_stage) :])
    chosen -= set(config.skip)
    if not chosen:
        raise ConfigError("--only, --from and --skip together leave no stage to run. Leave one of them out.")
    for stage in stages:
        if stage.name in chosen:
            _check_needs(stage, chosen)
    return frozenset(chosen)


def _check_needs(stage: Stage, chosen: set[str]) -> None:
    for reference in stage.references:
        if reference.stage not in chosen and not reference.path.exists():
            raise ConfigError(
                f"the stage {stage.name!r} takes {reference.written}, but {reference.stage!r} is not to run and has no "
                f"output yet: {reference.path} is not there. Run {reference.stage!r} first, or skip {stage.name!r} too."
            )
