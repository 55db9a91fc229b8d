"""The settings of the GRPO recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from posttrain.config.algorithm import AlgorithmSection
from posttrain.config.reinforcement import ReinforcementConfig


class GRPOConfig(ReinforcementConfig):
    """Group relative policy optimisation: sample groups, score them, push towards the better half of each."""

    output: Path = Path("runs/grpo")
    """Folder of the run: configuration, metrics, samples, checkpoints, and the trained model."""
    prompts_per_step: int = Field(16, ge=1)
    """Groups in a step."""
    responses_per_prompt: int = Field(8, ge=2)
    """Responses in a group."""
    algorithm: AlgorithmSection = AlgorithmSection()

    @model_validator(mode="after")
    def _cache_fits(self) -> Self:
        cache = self.algorithm.overlong_cache
        if cache is not None and cache > self.sampling.max_new_tokens:
            raise ValueError(
                f"algorithm.overlong_cache = {cache} is more than sampling.max_new_tokens = "
                f"{self.sampling.max_new_tokens}: the soft penalty starts that many tokens before the limit. Lower it."
            )
        return self
