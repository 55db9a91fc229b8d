"""The settings of targeted queues: which items of a store people get first."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from posttrain.config.sections import ComputeSection, Section


class QueueConfig(Section):
    """Hand out first what is worth most: disagreements, what a reward model is unsure of, a new checkpoint."""

    store: str = Field(min_length=1)
    """The store: a file, or postgresql://user@host/database."""
    by: Literal["disagreement", "uncertainty", "models", "none"]
    """disagreement: items on which people differ, which get a further judge. uncertainty: open items whose responses
    `reward_model` cannot tell apart. models: open items that compare a new checkpoint with others. none: back to the
    order of import."""
    limit: int | None = Field(1000, ge=1)
    """The most items in the queue, those that are worth most; "none" for all."""
    at_least: float = Field(0.5, gt=0, le=1)
    """disagreement: how far people must differ; two who order at random differ by 0.5."""
    extra_judges: int = Field(1, ge=1)
    """disagreement: how many more people are asked about an item that has all its judges."""
    reward_model: str | None = None
    """uncertainty: the folder of a trained reward model (its run's `model` folder) or a Hub id."""
    new: tuple[str, ...] = ()
    """models: the new checkpoints, as the samples name them; by default the one that came into the store last."""
    against: tuple[str, ...] = ()
    """models: what they are compared with; by default all others."""
    compute: ComputeSection = ComputeSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.by == "uncertainty" and self.reward_model is None:
            raise ValueError(
                "by = uncertainty asks a reward model, and none is named. Set reward_model to the `model` folder of a "
                "finished reward_model run."
            )
        if self.by != "uncertainty" and self.reward_model is not None:
            raise ValueError(f"reward_model is for by = uncertainty, and by is {self.by}. Remove one.")
        if self.by != "models" and (self.new or self.against):
            raise ValueError(f"new and against are for by = models, and by is {self.by}. Remove them.")
        return self
