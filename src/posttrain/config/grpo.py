"""The settings of the GRPO recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from posttrain.config.algorithm import AlgorithmSection
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


class GRPOConfig(RecipeConfig):
    """Group relative policy optimisation: sample groups, score them, push towards the better half of each."""

    output: Path = Path("runs/grpo")
    """Folder of the run: configuration, metrics, samples, checkpoints, and the trained model."""
    steps: int = Field(100, ge=1)
    """Rounds of generate, score, update."""
    prompts_per_step: int = Field(16, ge=1)
    """Groups in a step."""
    responses_per_prompt: int = Field(8, ge=2)
    """Responses in a group."""
    minibatches_per_step: int = Field(1, ge=1)
    """Optimiser steps that one pass over a step's responses is split into."""
    epochs_per_step: int = Field(1, ge=1)
    """Passes over a step's responses."""
    data: DataSection
    reward: RewardSection = RewardSection()
    sampling: SamplingSection = SamplingSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    optimizer: OptimizerSection = OptimizerSection()
    lora: LoraSection | None = None
    compute: ComputeSection = ComputeSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minibatches_per_step > self.prompts_per_step * self.responses_per_prompt:
            raise ValueError(
                f"minibatches_per_step = {self.minibatches_per_step} is more than the "
                f"{self.prompts_per_step * self.responses_per_prompt} responses of a step "
                "(prompts_per_step x responses_per_prompt). Lower it."
            )
        cache = self.algorithm.overlong_cache
        if cache is not None and cache > self.sampling.max_new_tokens:
            raise ValueError(
                f"algorithm.overlong_cache = {cache} is more than sampling.max_new_tokens = "
                f"{self.sampling.max_new_tokens}: the soft penalty starts that many tokens before the limit. Lower it."
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
    def optimizer_steps(self) -> int:
        """Optimiser steps of the whole run: what the learning-rate schedule counts."""
        return self.steps * self.minibatches_per_step * self.epochs_per_step
