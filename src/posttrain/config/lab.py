"""The settings of the estimator lab."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from posttrain.config.sections import Section

CRITICS = ("exact", "biased", "learnt", "noisy")
"""The critics that the lab can build."""


class LabConfig(Section):
    """Bias, variance and mean squared error of advantage estimators on a language with known values."""

    output: Path = Path("runs/lab")
    """Folder for the numbers (JSON) and the two pictures (PNG)."""
    seed: int = Field(0, ge=0)
    """Names the random numbers: the language's policy, the critics' errors, the sampled responses."""
    max_tokens: int = Field(8, ge=2, le=9)
    """A response is cut after this many tokens. All responses are listed (9,841 of 8 tokens), so it is small."""
    lambdas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
    """The values of GAE's lambda; 0 is TD, 1 is Monte Carlo."""
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4)
    """The values of K, the steps that are summed; the whole response is always measured too."""
    critics: tuple[str, ...] = CRITICS
    """exact (the true V), biased (too high, more so with a favourite word), learnt (means over sampled
    responses), noisy (an error of its own in each state). The first three are drawn as dartboards."""
    critic_error: float = Field(1.5, gt=0)
    """Root mean squared error of the biased and the noisy critic, in points of a reward from 0 to 10."""
    critic_rollouts: tuple[Annotated[int, Field(ge=1)], ...] = (32, 512)
    """How many responses a learnt critic has seen; one critic for each number."""
    critic_draws: int = Field(10, ge=1, le=50)
    """Noisy and learnt critics are drawn anew this many times; the numbers are means over the draws."""
    averaged_over: tuple[Annotated[int, Field(ge=1)], ...] = (1, 4, 16, 64, 256)
    """How many estimates a gradient averages: variance shrinks with their number, bias does not."""
    num_trajectories: int = Field(10_000, ge=100, le=1_000_000)
    """Sampled responses for each exact number, to check it."""
    num_darts: int = Field(250, ge=10, le=2000)
    """Darts on each board of the picture."""
    responses_per_dart: int = Field(16, ge=1, le=500)
    """A dart is the mean of so many estimates, as a gradient averages them; 1 shows single estimates."""

    @field_validator("lambdas", "horizons", "critics", "critic_rollouts", "averaged_over", mode="before")
    @classmethod
    def _one_value_is_a_list_of_one(cls, given: object) -> object:
        given = (given,) if isinstance(given, int | float | str) else given
        if isinstance(given, list | tuple) and not given:
            raise ValueError("at least one value is needed")
        return given

    @field_validator("lambdas", "horizons", "critic_rollouts", "averaged_over")
    @classmethod
    def _in_order_and_once(cls, numbers: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(numbers)))

    @field_validator("critics")
    @classmethod
    def _known_and_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CRITICS:
                near = difflib.get_close_matches(name, CRITICS, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"there is no critic {name!r}.{hint} Known: {', '.join(CRITICS)}.")
        return tuple(dict.fromkeys(names))
