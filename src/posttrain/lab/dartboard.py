"""The note's dartboard, thrown: estimates of the advantages of the first word, around the true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.lab.advantage_estimates import Estimator, token_moments
from posttrain.lab.critics import Critic
from posttrain.lab.tabular_task import ExactValues, TabularTask
from posttrain.lab.trajectories import Trajectories, sample_trajectories

BOARD_WORDS = (0, 1)
"""The two words whose advantages, as first token, are the two coordinates of a dart."""


@dataclass(frozen=True)
class Dartboard:
    """`errors [num_darts, 2]`: estimate minus truth for the two first words, in reward points.

    A dart is the mean of `responses_per_dart` estimates in each direction, from responses that begin with
    that word. `centre` and `spread` are exact: where the darts land on average, and the root of their mean
    squared distance from there.
    """

    critic: str
    estimator: Estimator
    errors: Tensor
    centre: tuple[float, float]
    spread: float

    @property
    def bias(self) -> float:
        """Distance of the centre from the bullseye."""
        return math.hypot(*self.centre)

    @property
    def standard_errors(self) -> Tensor:
        """Of the mean dart, in both directions: `[2]`."""
        return self.errors.std(dim=0) / math.sqrt(len(self.errors))


def throw_darts(
    task: TabularTask,
    exact: ExactValues,
    everything: Trajectories,
    critic: Critic,
    estimator: Estimator,
    num_darts: int,
    responses_per_dart: int,
    generator: torch.Generator,
) -> Dartboard:
    """One board, with the first draw of the critic."""
    words = list(BOARD_WORDS)
    values = critic.values[:1]
    thrown = []
    for word in words:
        sample = sample_trajectories(task, num_darts * responses_per_dart, generator, first_token=word)
        single = estimator.advantages(sample, values[0])[:, 0]
        thrown.append(single.reshape(num_darts, responses_per_dart).mean(-1))
    truth = exact.advantages[0, words]
    moments = token_moments(task, everything, values, estimator)
    centre = moments.means[0, 0, words] - truth
    return Dartboard(
        critic=critic.name,
        estimator=estimator,
        errors=torch.stack(thrown, dim=-1) - truth,
        centre=(centre[0].item(), centre[1].item()),
        spread=(moments.variances[0, 0, words].sum() / responses_per_dart).sqrt().item(),
    )
