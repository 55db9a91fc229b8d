"""The settings of a pipeline: its stages, and which of them are to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from posttrain.config.sections import AnywherePath, ComputeSection, Section


class PipelineConfig(Section):
    """Stages that hand their outputs to each other, each done once and again only when its inputs change."""

    output: AnywherePath = Path("runs/pipeline")
    """Folder of the pipeline: a folder for each stage, and pipeline.json."""
    model: str | None = None
    """The model of every stage that has a setting `model` and does not set it."""
    seed: int | None = Field(None, ge=0)
    """The seed of every stage that has one and does not set it."""
    compute: ComputeSection | None = None
    """Settings of every stage's `compute` that it does not set itself."""
    stages: dict[str, dict[str, Any]]
    """[stages.NAME]: `recipe`, and the settings of that recipe. "@OTHER" stands for an earlier stage's output."""
    only: str | None = None
    """Run this stage alone; what it needs must be there."""
    from_stage: str | None = None
    """Run this stage and those after it; stages before it are taken as they are. `--from` for short."""
    skip: tuple[str, ...] = ()
    """Stages that are not run; their outputs are taken as they are. On the command line: --skip a,b"""
    dry_run: bool = False
    """Print what would run and why, and run nothing."""

    @field_validator("skip", mode="before")
    @classmethod
    def _names_in_one_word(cls, given: Any) -> Any:
        """ "a,b" is a and b."""
        words = (given,) if isinstance(given, str) else given
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            return given
        return tuple(name.strip() for word in words for name in word.split(",") if name.strip())

    @field_validator("stages")
    @classmethod
    def _has_stages(cls, stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not stages:
            raise ValueError("there are no stages. Write [stages.NAME] with a recipe for each.")
        return stages
