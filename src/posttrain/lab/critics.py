"""Critics of a tabular task: the exact one, and three that are wrong in the three ways a critic can be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.lab.tabular_task import ExactValues, TabularTask
from posttrain.lab.trajectories import sample_trajectories


@dataclass(frozen=True)
class Critic:
    """A kind of critic: `values [D, S]` are D draws of it, one where no chance is in it."""

    name: str
    meaning: str
    values: Tensor

    def error(self, exact: ExactValues) -> float:
        """Root mean squared error in reward points over the states that the policy visits, and over the draws."""
        visits = exact.visits / exact.visits.sum()
        return math.sqrt(((self.values - exact.values).square() @ visits).mean().item())


def exact_critic(exact: ExactValues) -> Critic:
    """V itself."""
    return Critic("exact", "the true V of every state", exact.values.unsqueeze(0))


def biased_critic(task: TabularTask, exact: ExactValues, error: float, *, favourite: int = 0) -> Critic:
    """Too high everywhere, and more so with each `favourite` word so far; its RMS error is `error`.

    The error of a state is proportional to 1 + the number of favourite words. An error that is the same
    everywhere would cancel in `V(s_{t+1}) - V(s_t)` and be seen at the last token only.
    """
    counts = torch.ones_like(exact.values)
    for length in range(1, task.max_tokens):
        here, before = task.states_of_length(length), task.states_of_length(length - 1)
        one_more = torch.zeros(len(task.words), dtype=counts.dtype)
        one_more[favourite] = 1.0
        counts[here] = (counts[before, None] + one_more).flatten()
    meaning = f'V + an error that grows with each "{task.words[favourite]}"'
    return Critic("biased", meaning, (exact.values + _scaled(counts, exact, error)).unsqueeze(0))


def noisy_critic(exact: ExactValues, error: float, draws: int, generator: torch.Generator) -> Critic:
    """V + a normal error of its own in each state, fixed for a draw; the RMS error of each draw is `error`."""
    shape = (draws, len(exact.values))
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Critic(
        "noisy", "V + an error of its own in each state", exact.values + _scaled(noise, exact, error)
    )


def learnt_critic(task: TabularTask, rollouts: int, draws: int, generator: torch.Generator) -> Critic:
    """Monte-Carlo means over `rollouts` responses: what the note's critic loss leads to in a table.

    The value of a state is the mean reward of the responses that passed through it, with the value of the
    state one word shorter counted as one response more; so a state that was never seen has the value of its
    longest seen beginning, and one that was seen once does not believe it all.
    """
    parents = task.parents()
    values = torch.zeros(draws, task.num_states, dtype=torch.float64)
    for draw in values:
        seen = sample_trajectories(task, rollouts, generator)
        earned = seen.rewards.sum(-1, keepdim=True).expand_as(seen.mask)
        counts = torch.bincount(seen.states[seen.mask], minlength=task.num_states)
        sums = torch.zeros_like(draw).index_add_(0, seen.states[seen.mask], earned[seen.mask])
        draw[0] = sums[0] / counts[0]
        for length in range(1, task.max_tokens):
            here = task.states_of_length(length)
            draw[here] = (sums[here] + draw[parents[here]]) / (counts[here] + 1)
    return Critic(f"learnt {rollouts}", f"means over {rollouts:,} responses", values)


def _scaled(errors: Tensor, exact: ExactValues, size: float) -> Tensor:
    """The errors `[..., S]` with RMS `size` over the states as the policy visits them."""
    visits = exact.visits / exact.visits.sum()
    return errors * (size / (errors.square() @ visits).sqrt()).unsqueeze(-1)
