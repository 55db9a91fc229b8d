"""The settings of the reward-model recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.sections import (
    AnywherePath,
    ComputeSection,
    LoraSection,
    OptimizerSection,
    PromptFormatSection,
    RecipeConfig,
    Section,
)
from posttrain.config.store import FileOrStore


class ComparisonSection(PromptFormatSection):
    """Comparisons to learn from, and those that are held out."""

    path: FileOrStore
    """JSONL or Parquet: rankings (prompt, responses, ranks), pairs (prompt, chosen, rejected; text or messages), or
    hh-rlhf's transcripts in chosen and rejected. Further columns: annotator, weight, margin. Or a store that people
    rank in: its file, or postgresql://user@host/database."""
    held_out_path: FileOrStore | None = None
    """The same kind of file, or a store, for held-out numbers; never trained on."""
    held_out_share: float = Field(0.1, ge=0, lt=1)
    """Without held_out_path: about this share of the prompts, by their content; 0 holds nothing out."""
    annotator_weights: dict[str, float] = Field(default_factory=dict)
    """How much an annotator's rankings count, by name, times the weight of each; others count 1."""
    prompt_weights: Literal["auto", "equal", "by_rankings"] = "auto"
    """equal: the rankings of one prompt count 1 together, however many people ranked it. by_rankings: each counts by
    itself. auto: equal for a store and what was exported from one, by_rankings for other files."""
    max_length: int = Field(1024, ge=2)
    """Tokens of a prompt with a response and its end."""
    too_long: Literal["drop", "cut"] = "drop"
    """A ranking with a longer response: leave it out, or cut the response's end off. Both are counted."""

    @field_validator("annotator_weights")
    @classmethod
    def _usable(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(
                    f"the weight of the annotator {name!r} must not be negative; 0 leaves them out"
                )
        return weights


class PreferenceSection(Section):
    """The loss of a ranking."""

    kind: Literal["pairs", "plackett_luce"] = "pairs"
    """pairs: Bradley-Terry on every ordered pair, their mean a ranking's loss. plackett_luce: the likelihood of the
    whole order, ties averaged over their orders."""
    ties: Literal["leave_out", "learn"] = "leave_out"
    """With pairs: leave tied pairs out, or learn that they are equal. plackett_luce always learns it."""
    margin: float = Field(0.0, ge=0)
    """By how much the better reward should be ahead, added to a record's own `margin`; with pairs only."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """The share of comparisons that are taken to be the wrong way round; with pairs only."""
    center_coef: float = Field(0.0, ge=0)
    """Weight of (2 x mean reward of a ranking)^2, which keeps rewards around 0; 0.01 is usual."""

    @model_validator(mode="after")
    def _of_pairs(self) -> Self:
        if self.kind == "plackett_luce" and (self.margin or self.label_smoothing):
            raise ValueError(
                "preference.margin and preference.label_smoothing are of pairs. Set preference.kind = "
                '"pairs", or remove them.'
            )
        return self


class CalibrationSection(Section):
    """Reference answers, whose scores get mean 0 and standard deviation 1."""

    path: AnywherePath | None = None
    """JSONL or Parquet with demonstrations, or with comparisons, of which the best-ranked responses are taken.
    By default the best-ranked training responses."""
    num_answers: int = Field(256, ge=2)
    """So many of them, drawn by their content; all when there are fewer."""


class RewardOptimizerSection(OptimizerSection):
    """AdamW for one pass over comparisons; the schedule counts optimiser steps."""

    learning_rate: float = Field(2e-5, gt=0)
    """Peak learning rate; for LoRA take about ten times as much."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """What happens after the warm-up: nothing, or a fall to final_share of the peak at the last step."""
    warmup_share: float = Field(0.1, ge=0, le=1)
    """Share of all steps in which the learning rate rises from 0; used where warmup_steps is 0."""


class ComparisonEvaluationSection(Section):
    """Held-out numbers while training."""

    every_steps: int = Field(0, ge=0)
    """Steps between them; 0: only before and after."""
    max_rankings: int = Field(1000, ge=1)
    """Held-out rankings that are measured, drawn by their prompts' content; all of them when there are fewer."""


class RewardModelConfig(RecipeConfig):
    """A Bradley-Terry reward model from comparisons, on a language model or going on from a reward model."""

    output: Path = Path("runs/reward_model")
    """Folder of the run: configuration, metrics, checkpoints, a picture, and the trained model."""
    epochs: int = Field(1, ge=1)
    """Passes over the comparisons; after the first few a reward model knows them by heart."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps, instead of epochs."""
    rankings_per_step: int = Field(16, ge=1)
    """Rankings (pairs are rankings of two) in an optimiser step, at most; an epoch's are spread evenly over its
    steps."""
    data: ComparisonSection
    preference: PreferenceSection = PreferenceSection()
    optimizer: RewardOptimizerSection = RewardOptimizerSection()
    lora: LoraSection | None = None
    compute: ComputeSection = ComputeSection()
    evaluation: ComparisonEvaluationSection = ComparisonEvaluationSection()
    calibration: CalibrationSection = CalibrationSection()
