"""What the recipes that learn from their own samples have in common: how much is sampled, from what, and judged how."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from posttrain.config.sections import (
    ComputeSection,
    DataSection,
    EvaluationSection,
    LoraSection,
    OptimizerSection,
    RecipeConfig,
    RewardSection,
    SamplingSection,
)


class ReinforcementConfig(RecipeConfig):
    """Sample responses, score them, push towards the better ones: what PPO and GRPO both need to know."""

    steps: int = Field(100, ge=1)
    """Rounds of generate, score, update."""
    prompts_per_step: int = Field(ge=1)
    """Prompts in a step."""
    responses_per_prompt: int = Field(ge=1)
    """Responses to each."""
    minibatches_per_step: int = Field(1, ge=1)
    """Optimiser steps that one pass over a step's responses is split into."""
    epochs_per_step: int = Field(1, ge=1)
    """Passes over a step's responses."""
    data: DataSection
    reward: RewardSection = RewardSection()
    sampling: SamplingSection = SamplingSection()
    optimizer: OptimizerSection = OptimizerSection()
    lora: LoraSection | None = None
    compute: ComputeSection = ComputeSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="after")
    def _has_prompts_and_rows(self) -> Self:
        if self.minibatches_per_step > self.responses_per_step:
            raise ValueError(
                f"minibatches_per_step = {self.minibatches_per_step} is more than the "
                f"{self.responses_per_step} responses of a step "
                "(prompts_per_step x responses_per_prompt). Lower it."
            )
        if self.data.path is None and self.data.task is None:
            raise ValueError(
                'there is nothing to train on: set data.path = "prompts.jsonl", or data.task = "sums"'
            )
        return self

    @property
    def responses_per_step(self) -> int:
        """Rollouts of one step."""
        return self.prompts_per_step * self.responses_per_prompt

    @property
    def updates_per_step(self) -> int:
        """Optimiser steps of a step."""
        return self.minibatches_per_step * self.epochs_per_step

    @property
    def optimizer_steps(self) -> int:
        """Optimiser steps of the whole run: what the learning-rate schedule counts."""
        return self.steps * self.updates_per_step
