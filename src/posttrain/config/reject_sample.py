"""The settings of the reject_sample recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from posttrain.config.sections import (
    AnywherePath,
    ComputeSection,
    DataSection,
    RewardSection,
    SamplingSection,
    Section,
)


class RejectSampleConfig(Section):
    """Rejection sampling: the best responses to each prompt become demonstrations for sft."""

    samples: AnywherePath | None = None
    """Responses that exist: the JSONL file of `posttrain sample`. Otherwise `model` answers the prompts of [data]."""
    model: str = "smollm2"
    """smollm2 (the embedded SmolLM2-135M-Instruct), a Hub id, a local folder, or a GGUF file."""
    data: DataSection | None = None
    """The prompts to answer; of a task or a file its training part. With `samples`: whose verifier judges."""
    num_prompts: int | None = Field(None, ge=1)
    """How many of the prompts are answered: a file's from its beginning, a task's in an order drawn by the seed."""
    responses_per_prompt: int = Field(8, ge=1)
    """Responses that are drawn for each prompt."""
    min_score: float = 1.0
    """Responses that score less are rejected."""
    keep_per_prompt: int = Field(1, ge=1)
    """At most so many responses to a prompt are kept, the best ones; equal texts count once."""
    ties: Literal["random", "shortest"] = "random"
    """Which of equally good responses come first: drawn by the seed, or the ones with fewer characters."""
    output: Path = Path("demonstrations.jsonl")
    """The JSONL file for the demonstrations."""
    seed: int = Field(0, ge=0)
    """Names the random numbers; the same seed gives the same file."""
    reward: RewardSection = RewardSection()
    sampling: SamplingSection = SamplingSection()
    compute: ComputeSection = ComputeSection()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.samples is None and self.data is None:
            raise ValueError(
                'there is nothing to choose from: set samples = "responses.jsonl" (of `posttrain sample`), or '
                "model and [data] to draw responses"
            )
        if (
            self.samples is None
            and self.data is not None
            and self.data.path is None
            and self.data.task is None
        ):
            raise ValueError(
                "demonstrations are for training, and only data.held_out_path is set. Set data.path or data.task."
            )
        return self
