"""The experiment: every critic with every estimator, the darts, and a sample that checks the exact numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from posttrain.config.lab import LabConfig
from posttrain.lab.advantage_estimates import Estimator, EstimatorError, exact_errors, sampled_mse
from posttrain.lab.critics import Critic, biased_critic, exact_critic, learnt_critic, noisy_critic
from posttrain.lab.dartboard import Dartboard, throw_darts
from posttrain.lab.tabular_task import (
    WEATHER_WORDS,
    ExactValues,
    TabularTask,
    make_task,
    solve,
    weather_reward,
)
from posttrain.lab.trajectories import Trajectories, all_trajectories, sample_trajectories

BALANCED_LAMBDA = 0.9
"""What the note calls balanced; the dartboard shows it between TD and Monte Carlo."""
BOARD_ROWS = 3
"""A dartboard is drawn for this many critics."""


@dataclass(frozen=True)
class Cell:
    """One estimator with one critic: its exact errors, and the mean squared error of a sample to check them.

    The sample is measured with the first draw of the critic, as `first_draw_mse` is.
    """

    critic: str
    estimator: Estimator
    errors: EstimatorError
    first_draw_mse: float
    sampled_mse: float
    sampled_standard_error: float

    @property
    def deviation(self) -> float:
        """How many standard errors the sample is from the exact number; differences of rounding are 0."""
        difference = abs(self.sampled_mse - self.first_draw_mse)
        return 0.0 if difference < 1e-12 else difference / self.sampled_standard_error


@dataclass(frozen=True)
class AdvantageLab:
    """Everything that was measured."""

    config: LabConfig
    task: TabularTask
    exact: ExactValues
    everything: Trajectories
    critics: tuple[Critic, ...]
    cells: dict[tuple[str, Estimator], Cell]
    boards: tuple[Dartboard, ...]

    def cell(self, critic: str, gae_lambda: float, horizon: int | None = None) -> Cell:
        """The cell of an estimator, also of one that is another one by definition (see `same_estimator`)."""
        return self.cells[critic, same_estimator(gae_lambda, horizon, self.task.max_tokens)]

    def best_lambda(self, critic: str, averaged_over: int) -> float:
        """The lambda, with K to the end, that leaves the least error after averaging so many estimates."""
        return min(
            self.config.lambdas,
            key=lambda value: self.cell(critic, value).errors.after_averaging(averaged_over),
        )


def weather_task(config: LabConfig) -> TabularTask:
    """The lab's language: answers to "The weather today is" in three words, with a random policy."""
    generator = torch.Generator().manual_seed(config.seed)
    return make_task(
        WEATHER_WORDS,
        config.max_tokens,
        weather_reward,
        generator=generator,
        logit_spread=0.5,
        end_logit=-1.0,  # otherwise a quarter of all responses end at once, and there is little to look ahead to
    )


def same_estimator(gae_lambda: float, horizon: int | None, max_tokens: int) -> Estimator:
    """One name for one estimator: K = 1 and lambda = 0 are TD, and K >= T goes to the end of the response."""
    if gae_lambda == 0.0 or horizon == 1:
        return Estimator(0.0)
    return Estimator(gae_lambda, None if horizon is None or horizon >= max_tokens else horizon)


def measure(config: LabConfig) -> AdvantageLab:
    """Runs the experiment; the same settings give the same numbers."""
    task = weather_task(config)
    exact, everything = solve(task), all_trajectories(task)
    # Each part has random numbers of its own, so that more darts do not make another critic.
    critics = tuple(_critics(config, task, exact, torch.Generator().manual_seed(config.seed + 1)))
    samples = torch.Generator().manual_seed(config.seed + 2)
    estimators = dict.fromkeys(
        same_estimator(gae_lambda, horizon, task.max_tokens)
        for gae_lambda in config.lambdas
        for horizon in (None, *config.horizons)
    )
    cells = {}
    for critic in critics:
        first_draw = Critic(critic.name, critic.meaning, critic.values[:1])
        for estimator in estimators:
            errors = exact_errors(task, exact, everything, critic, estimator)
            first = exact_errors(task, exact, everything, first_draw, estimator).mse
            # A sample for each cell: from one for all, one unlucky draw would look like many.
            sample = sample_trajectories(task, config.num_trajectories, samples)
            found = sampled_mse(exact, sample, critic.values[0], estimator)
            cells[critic.name, estimator] = Cell(critic.name, estimator, errors, first, *found)
    darts = torch.Generator().manual_seed(config.seed + 3)
    size = (config.num_darts, config.responses_per_dart)
    boards = tuple(
        throw_darts(task, exact, everything, critic, Estimator(value), *size, darts)
        for critic in critics[:BOARD_ROWS]
        for value in (0.0, BALANCED_LAMBDA, 1.0)
    )
    return AdvantageLab(config, task, exact, everything, critics, cells, boards)


def _critics(
    config: LabConfig, task: TabularTask, exact: ExactValues, generator: torch.Generator
) -> Iterator[Critic]:
    for name in config.critics:
        if name == "exact":
            yield exact_critic(exact)
        elif name == "biased":
            yield biased_critic(task, exact, config.critic_error)
        elif name == "noisy":
            yield noisy_critic(exact, config.critic_error, config.critic_draws, generator)
        else:
            for rollouts in config.critic_rollouts:
                yield learnt_critic(task, rollouts, config.critic_draws, generator)
