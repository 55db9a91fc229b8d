"""A language so small that every response can be listed: values and advantages are known, not estimated.

A state is the response so far (a prefix of words); an action is the next token: a word, or the end token. The
policy is a table with one softmax a state, and the reward is paid for a complete response, so the next state
is certain and all chance lies in the policy's later tokens, as in a language model with a verifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.algorithms import log_probabilities

RewardOfText = Callable[[tuple[str, ...]], float]


@dataclass(frozen=True)
class TabularTask:
    """`W` words and an end token, whose id is `W`; at most `max_tokens` tokens; S states, shortest first.

    `logits [S, W + 1]` are the policy. `end_rewards [S]` is what a response earns that ends after this prefix;
    one that is cut before its end token earns `cut_reward`. All float64.
    """

    words: tuple[str, ...]
    max_tokens: int
    logits: Tensor
    end_rewards: Tensor
    cut_reward: float = 0.0

    @property
    def end_token(self) -> int:
        """The id of the end token."""
        return len(self.words)

    @property
    def num_states(self) -> int:
        """How many prefixes can be continued."""
        return len(self.end_rewards)

    @property
    def probabilities(self) -> Tensor:
        """`pi(a | s)`: `[S, W + 1]`."""
        return log_probabilities(self.logits).exp()

    def states_of_length(self, length: int) -> slice:
        """The ids of all prefixes with this many words."""
        width = len(self.words)
        return slice(sum(width**n for n in range(length)), sum(width**n for n in range(length + 1)))

    def next_states(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The prefix with one more word. Meaningless for the end token and for the longest prefixes."""
        return states * len(self.words) + 1 + tokens

    def parents(self) -> Tensor:
        """The prefix without its last word: `[S]`; the empty one is its own."""
        return (torch.arange(self.num_states) - 1).clamp(min=0) // len(self.words)


@dataclass(frozen=True)
class ExactValues:
    """What an estimator tries to find: V `[S]`, Q and A `[S, W + 1]`, and how often a state is visited, `[S]`."""

    values: Tensor
    action_values: Tensor
    advantages: Tensor
    visits: Tensor


def make_task(
    words: Sequence[str],
    max_tokens: int,
    reward: RewardOfText,
    *,
    generator: torch.Generator,
    logit_spread: float = 1.0,
    end_logit: float = 0.0,
    cut_reward: float = 0.0,
) -> TabularTask:
    """A task whose policy has normal logits with standard deviation `logit_spread`, one draw a state and token.

    `end_logit` is added to the end token's: the lower, the longer the responses. `reward` gets the words of a
    response that has ended, the end token left out.
    """
    prefixes = [text for n in range(max_tokens) for text in itertools.product(words, repeat=n)]
    logits = torch.randn(len(prefixes), len(words) + 1, generator=generator, dtype=torch.float64)
    logits *= logit_spread
    logits[:, len(words)] += end_logit
    rewards = torch.tensor([reward(text) for text in prefixes], dtype=torch.float64)
    return TabularTask(tuple(words), max_tokens, logits, rewards, cut_reward)


def solve(task: TabularTask) -> ExactValues:
    """V, Q, A and visits by dynamic programming over prefixes: V from the longest back, visits forwards.

    With gamma 1: Q(s, word) = V(s + word), Q(s, end) = the reward of ending there, V(s) = sum_a pi(a|s) Q(s, a).
    """
    probabilities = task.probabilities
    action_values = torch.full_like(probabilities, task.cut_reward)
    action_values[:, task.end_token] = task.end_rewards
    values = torch.zeros_like(task.end_rewards)
    for length in reversed(range(task.max_tokens)):
        here = task.states_of_length(length)
        if length + 1 < task.max_tokens:
            following = values[task.states_of_length(length + 1)]
            action_values[here, : task.end_token] = following.reshape(-1, len(task.words))
        values[here] = (probabilities[here] * action_values[here]).sum(-1)
    visits = torch.zeros_like(values)
    visits[0] = 1.0
    for length in range(1, task.max_tokens):
        before, here = task.states_of_length(length - 1), task.states_of_length(length)
        visits[here] = (visits[before, None] * probabilities[before, : task.end_token]).flatten()
    return ExactValues(values, action_values, action_values - values.unsqueeze(-1), visits)


WEATHER_WORDS = ("sunny", "rainy", "and")


def weather_reward(text: tuple[str, ...]) -> float:
    """0 to 10 points for an answer to "The weather today is": good weather, well said.

    5 points, 2 more for each `sunny`, 2 fewer for each `rainy`, half a point fewer wherever two neighbours do
    not alternate a weather word with `and`, and for an `and` at either end. An empty answer earns nothing.
    """
    if not text:
        return 0.0
    joins = [word == "and" for word in text]
    clumsy = sum(a == b for a, b in itertools.pairwise(joins)) + joins[0] + joins[-1]
    points = 5.0 + 2.0 * text.count("sunny") - 2.0 * text.count("rainy") - 0.5 * clumsy
    return min(max(points, 0.0), 10.0)
