"""The settings of the sample recipe: N responses for each prompt, for people or a rule to rank."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from posttrain.config.sections import ComputeSection, DataSection, SamplingSection, Section
from posttrain.config.store import StoreLocation


class SampleConfig(Section):
    """Sample N responses for each prompt into a JSONL file: to be ranked, or to look at."""

    model: str = "smollm2"
    """smollm2 (the embedded SmolLM2-135M-Instruct), a Hub id, a local folder, or a GGUF file."""
    output: Path = Path("runs/sample")
    """Folder of the run; the responses are in responses.jsonl, one line a prompt."""
    seed: int = Field(0, ge=0)
    """Names the random numbers; the same seed gives the same responses."""
    data: DataSection
    """The prompts: a file of yours or a built-in task."""
    part: Literal["train", "held_out"] = "train"
    """Which prompts are answered: data.path (the task's training part), or data.held_out_path (its held-out part)."""
    num_prompts: int | None = Field(None, ge=1)
    """How many are answered: a file's from its beginning, a task's in an order drawn by the seed; by default all."""
    responses_per_prompt: int = Field(4, ge=1)
    """Responses to each prompt."""
    distinct: bool = False
    """Keep each text once a prompt, so that nobody ranks two equal responses; what was left out is counted."""
    further_draws: int = Field(0, ge=0)
    """With `distinct`: so many more responses are drawn, once, for each prompt that lacks some."""
    store: StoreLocation | None = None
    """A preference store that the prompts with their responses go into as well, to be ranked: a file, made if need be,
    or postgresql://user@host/database. posttrain rank opens its page."""
    store_prefix: str = ""
    """Put before each prompt's id in the store, so that several samplings of one prompt can stand there."""
    prompts_per_chunk: int = Field(32, ge=1)
    """Prompts that are answered together; after each chunk the responses are on disk."""
    sampling: SamplingSection = SamplingSection()
    compute: ComputeSection = ComputeSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.part == "train" and self.data.path is None and self.data.task is None:
            raise ValueError(
                'part = "train" takes the prompts of data.path or data.task, and neither is set. '
                'Set one, or part = "held_out".'
            )
        if self.part == "held_out" and self.data.held_out_path is None and self.data.task is None:
            raise ValueError(
                'part = "held_out" takes the prompts of data.held_out_path or the held-out part of data.task, '
                "and neither is set."
            )
        if self.store is None and self.store_prefix:
            raise ValueError("store_prefix is for a store, and none is set. Set store, or remove it.")
        if self.store is not None and not 2 <= self.responses_per_prompt <= 8:
            raise ValueError(
                f"responses_per_prompt is {self.responses_per_prompt}, and people rank 2 to 8. Set it to 4, or remove "
                "store."
            )
        if self.further_draws and not self.distinct:
            raise ValueError(
                "further_draws replaces responses that are equal, which distinct = false keeps. "
                "Set distinct = true, or raise responses_per_prompt."
            )
        return self
