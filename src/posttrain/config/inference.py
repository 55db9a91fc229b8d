"""The settings of the commands that only use a model: generate and evaluate."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from posttrain.config.sections import (
    ComputeSection,
    DataSection,
    EvaluationSize,
    RewardSection,
    SamplingSection,
    Section,
)


class GenerateConfig(Section):
    """Sample responses to prompts of yours."""

    model: str = "smollm2"
    """smollm2 (the embedded SmolLM2-135M-Instruct), a Hub id, a local folder, or a GGUF file."""
    prompt: str | None = None
    """The prompt itself, instead of a file."""
    data: DataSection | None = None
    """Prompts from a file or a built-in task."""
    num_prompts: int = Field(8, ge=1)
    """How many prompts of the file or task are answered."""
    responses_per_prompt: int = Field(1, ge=1)
    """Responses to each prompt."""
    seed: int = Field(0, ge=0)
    """Names the random numbers; the same seed gives the same responses."""
    output: Path | None = None
    """A JSONL file for the responses; otherwise they are printed."""
    sampling: SamplingSection = SamplingSection()
    compute: ComputeSection = ComputeSection()


class EvaluateConfig(Section):
    """Score a model on held-out prompts: accuracy, pass@k, and a table of samples."""

    model: str = "smollm2"
    """smollm2 (the embedded SmolLM2-135M-Instruct), a Hub id, a local folder, or a GGUF file."""
    data: DataSection
    """The held-out prompts: data.held_out_path, or the held-out part of a task."""
    reward: RewardSection = RewardSection()
    sampling: SamplingSection = SamplingSection()
    evaluation: EvaluationSize = EvaluationSize()
    seed: int = Field(0, ge=0)
    """Names the random numbers; the same seed gives the same responses."""
    output: Path | None = None
    """A JSON file for the result, besides what is printed."""
    compute: ComputeSection = ComputeSection()
