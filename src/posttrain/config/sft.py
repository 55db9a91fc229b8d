"""The settings of the sft recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from posttrain.config.demonstrations import DemonstrationSection
from posttrain.config.sections import (
    CheckpointSection,
    ComputeSection,
    LoraSection,
    OptimizerSection,
    RecipeConfig,
    Section,
)


class SFTOptimizerSection(OptimizerSection):
    """AdamW as it is usual for fine-tuning; the schedule counts optimiser steps."""

    learning_rate: float = Field(2e-5, gt=0)
    """Peak learning rate; with [lora] about ten times as much."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What happens after the warm-up: nothing, or a fall to final_share of the peak at the last step."""
    warmup_share: float = Field(0.03, ge=0, le=1)
    """Share of all steps in which the learning rate rises from 0; used where warmup_steps is 0."""


class SFTEvaluationSection(Section):
    """Held-out loss while training."""

    every_steps: int = Field(50, ge=0)
    """Steps between them; 0: only before and after."""
    max_examples: int = Field(512, ge=1)
    """Held-out demonstrations that are measured, from the beginning; all of them when there are fewer."""


class SFTCheckpointSection(CheckpointSection):
    """What survives a crash; steps are short here, so there are more of them between checkpoints."""

    every_steps: int = Field(50, ge=1)
    """Steps between checkpoints; the last step is always saved."""


class SFTConfig(RecipeConfig):
    """Supervised fine-tuning: learn to say what the assistant says in demonstrations."""

    output: Path = Path("runs/sft")
    """Folder of the run: configuration, metrics, checkpoints, and the trained model."""
    epochs: int = Field(1, ge=1)
    """Passes over the demonstrations."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps instead of passes; goes on into further passes where needed."""
    examples_per_step: int = Field(16, ge=1)
    """Demonstrations in an optimiser step, at most; an epoch's are spread evenly over its steps."""
    data: DemonstrationSection
    optimizer: SFTOptimizerSection = SFTOptimizerSection()
    lora: LoraSection | None = None
    compute: ComputeSection = ComputeSection()
    evaluation: SFTEvaluationSection = SFTEvaluationSection()
    checkpoint: SFTCheckpointSection = SFTCheckpointSection()
