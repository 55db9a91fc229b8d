"""Responses of a tabular task: all of them with their probabilities, or a sample."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.lab.tabular_task import TabularTask


@dataclass(frozen=True)
class Trajectories:
    """`N` responses, padded to the task's `max_tokens` T: `tokens`, `states`, `mask`, `rewards` `[N, T]`.

    `states[:, t]` is the state that token t was drawn in (0 under False). `rewards` hold the score of the
    response on its last counted token. `weights [N]` sum to 1: the exact probabilities, or 1/N of a sample.
    """

    tokens: Tensor
    states: Tensor
    mask: Tensor
    rewards: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


def all_trajectories(task: TabularTask) -> Trajectories:
    """Every response of the task with its probability, so that a weighted sum is an expectation, not a sample."""
    words, end = range(task.end_token), task.end_token
    rows: list[list[int]] = []
    for length in range(task.max_tokens):
        rows += ([*text, end] + [end] * (task.max_tokens - length - 1) for text in _texts(words, length))
    rows += ([*text] for text in _texts(words, task.max_tokens))
    tokens = torch.tensor(rows)
    states, mask = _states_and_mask(task, tokens)
    chances = task.probabilities[states, tokens].where(mask, 1.0).prod(dim=-1)
    return Trajectories(tokens, states, mask, _rewards(task, tokens, states, mask), chances)


def sample_trajectories(
    task: TabularTask, count: int, generator: torch.Generator, *, first_token: int | None = None
) -> Trajectories:
    """`count` responses drawn token by token from the policy; `first_token` fixes the first one."""
    probabilities = task.probabilities
    tokens = torch.full((count, task.max_tokens), task.end_token)
    states = torch.zeros(count, dtype=torch.long)
    goes_on = torch.ones(count, dtype=torch.bool)
    for t in range(task.max_tokens):
        drawn = torch.multinomial(probabilities[states], 1, generator=generator).squeeze(-1)
        if t == 0 and first_token is not None:
            drawn.fill_(first_token)
        tokens[goes_on, t] = drawn[goes_on]
        goes_on &= drawn != task.end_token
        if t + 1 < task.max_tokens:
            states = task.next_states(states, drawn).where(goes_on, 0)
    all_states, mask = _states_and_mask(task, tokens)
    weights = torch.full((count,), 1.0 / count, dtype=torch.float64)
    return Trajectories(tokens, all_states, mask, _rewards(task, tokens, all_states, mask), weights)


def _texts(words: range, length: int) -> itertools.product[tuple[int, ...]]:
    return itertools.product(words, repeat=length)


def _states_and_mask(task: TabularTask, tokens: Tensor) -> tuple[Tensor, Tensor]:
    is_end = (tokens == task.end_token).long()
    mask = is_end.cumsum(-1) - is_end == 0  # the first end token counts, what follows does not
    states = torch.zeros_like(tokens)
    for t in range(1, task.max_tokens):
        states[:, t] = task.next_states(states[:, t - 1], tokens[:, t - 1])
    return states.where(mask, 0), mask


def _rewards(task: TabularTask, tokens: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    rewards = torch.zeros(tokens.shape, dtype=torch.float64)
    ends = mask & (tokens == task.end_token)
    rewards[ends] = task.end_rewards[states[ends]]
    rewards[~ends.any(-1), -1] = task.cut_reward
    return rewards
