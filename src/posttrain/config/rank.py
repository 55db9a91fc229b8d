"""The settings of ranking by a stated rule: scripted annotators in the place of people."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from posttrain.config.sections import AnywherePath, RewardSection, RewardTermSection, Section
from posttrain.config.store import StoreLocation


class AnnotatorSection(Section):
    """One scripted annotator."""

    name: str = Field("rule", min_length=1)
    """What it is called in the rankings."""
    noise_rate: float = Field(0.0, ge=0, le=1)
    """The probability that a judgement of a prompt is a uniformly random order instead of the rule's. Of two
    responses that the rule holds for unequal, the right one then comes first with probability 1 - noise_rate / 2."""
    weight: float = Field(1.0, gt=0)
    """How much its judgements count in training."""


class RuleSection(RewardSection):
    """The rule in the place of people's taste: a reward, and a higher score is a better rank."""

    terms: tuple[RewardTermSection, ...]
    """What is summed up, one term at least: [{name = "exact_answer"}] or [{function = "file.py:name"}]."""

    @field_validator("terms")
    @classmethod
    def _is_a_rule(cls, terms: tuple[RewardTermSection, ...]) -> tuple[RewardTermSection, ...]:
        if not terms:
            raise ValueError(
                'there is no term, so there is no rule. Set reward.terms = [{name = "exact_answer"}], '
                'or [{function = "file.py:name"}].'
            )
        return terms


class RankByRuleConfig(Section):
    """Rank the responses of a samples file by a stated rule, with errors at a stated rate."""

    samples: AnywherePath
    """The file that `posttrain sample` wrote: one line a prompt with its `responses`."""
    output: Path = Path("runs/rankings.jsonl")
    """The rankings: one line for each prompt and annotator."""
    seed: int = Field(0, ge=0)
    """Names the random numbers of the annotators' errors."""
    reward: RuleSection
    """The rule; a higher score is a better rank."""
    annotators: tuple[AnnotatorSection, ...] = (AnnotatorSection(),)
    """Each judges every prompt, for example [{name = "anna", noise_rate = 0.1}]; by default one without errors."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_annotators(self.annotators)
        return self


class RankStageConfig(Section):
    """A pipeline's stage of ranking: by a rule as `posttrain rank-by-rule` does, or by people, in a store or a file."""

    output: Path
    """The rankings: one line for each prompt and annotator."""
    samples: AnywherePath | None = None
    """The file that `posttrain sample` wrote."""
    rankings: AnywherePath | None = None
    """The rankings of people, instead of a rule: the samples file with a column `ranks` in each line."""
    store: StoreLocation | None = None
    """A preference store in which people rank, instead of a rule: a file, or postgresql://user@host/database. The
    samples are put into it; posttrain rank opens its page."""
    min_judgements: int | None = Field(None, ge=1)
    """With a store: go on once people have judged so many times. By default once every prompt has as many judgements
    as it wants."""
    seed: int = Field(0, ge=0)
    """Names the random numbers of the annotators' errors."""
    reward: RuleSection | None = None
    """The rule, as in `posttrain rank-by-rule`; none where people rank."""
    annotators: tuple[AnnotatorSection, ...] = (AnnotatorSection(),)
    """Each judges every prompt."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.store is None and self.min_judgements is not None:
            raise ValueError("min_judgements counts judgements in a store, and none is set. Set store.")
        if self.rankings is not None or self.store is not None:
            if self.rankings is not None and self.store is not None:
                raise ValueError("rankings is a file of people, and store is where they rank. Remove one.")
            if self.reward is not None:
                what = "rankings is a file of people" if self.store is None else "in the store people rank"
                raise ValueError(f"{what}, and reward is a rule in their place. Remove one.")
            return self
        if self.samples is None:
            raise ValueError('there is nothing to rank: set samples = "@STAGE" or to a file of samples')
        if self.reward is None:
            raise ValueError(
                'there is no rule: set reward.terms = [{name = "exact_answer"}], or store = "store.db" for people'
            )
        _check_annotators(self.annotators)
        return self

    def by_rule(self) -> RankByRuleConfig:
        """The settings of `posttrain rank-by-rule`."""
        if self.samples is None or self.reward is None:
            raise ValueError("there are no samples to rank, or no rule to rank them by")
        return RankByRuleConfig(
            samples=self.samples,
            output=self.output,
            seed=self.seed,
            reward=self.reward,
            annotators=self.annotators,
        )


def _check_annotators(annotators: tuple[AnnotatorSection, ...]) -> None:
    if not annotators:
        raise ValueError("annotators is empty, so nobody would rank. Leave it out, or name one.")
    names = [annotator.name for annotator in annotators]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two annotators are called {twice!r} and would judge alike. Rename one.")
