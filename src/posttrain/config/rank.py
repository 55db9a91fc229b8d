"""The settings of ranking by a stated rule: scripted annotators in the place of people."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.sections import RewardSection, Section


class AnnotatorSection(Section):
    """One scripted annotator."""

    name: str = Field("rule", min_length=1)
    """What it is called in the rankings."""
    noise_rate: float = Field(0.0, ge=0, le=1)
    """The probability that a judgement of a prompt is a uniformly random order instead of the rule's. Of two
    responses that the rule holds for unequal, the right one then comes first with probability 1 - noise_rate / 2."""
    weight: float = Field(1.0, gt=0)
    """How much its judgements count in training."""


class RankByRuleConfig(Section):
    """Rank the responses of a samples file by a stated rule, with errors at a stated rate."""

    samples: Path
    """The file that `posttrain sample` wrote: one line a prompt with its `responses`."""
    output: Path = Path("runs/rankings.jsonl")
    """The rankings: one line for each prompt and annotator."""
    seed: int = Field(0, ge=0)
    """Names the random numbers of the annotators' errors."""
    reward: RewardSection
    """The rule: a verifier or a function of yours as in reward.terms; a higher score is a better rank."""
    annotators: tuple[AnnotatorSection, ...] = (AnnotatorSection(),)
    """Each judges every prompt; by default one that makes no errors."""

    @field_validator("samples")
    @classmethod
    def _from_anywhere(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.reward.terms:
            raise ValueError(
                'reward.terms is empty, so there is no rule. Set reward.terms = [{name = "exact_answer"}], '
                'or [{function = "file.py:name"}].'
            )
        if not self.annotators:
            raise ValueError("annotators is empty, so nobody would rank. Leave it out, or name one.")
        names = [annotator.name for annotator in self.annotators]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two annotators are called {twice!r} and would judge alike. Rename one.")
        return self
