"""The first half of a GRPO step: prompts -> groups of responses -> rewards -> advantages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posttrain.algorithms import (
    group_relative_advantages,
    informative_groups,
    leave_one_out_advantages,
    soft_overlong_penalty,
)
from posttrain.config.algorithm import AlgorithmSection
from posttrain.recipes.response_metrics import NAN, is_cut, raw_scores, response_metrics
from posttrain.types import Prompt, Rollout, ScoredRollout


@dataclass(frozen=True)
class Groups:
    """Scored rollouts of one step and what is known of them; one row a rollout.

    `rewards` are the scores after the treatment of responses that were cut, NaN where there is none;
    `is_trained` is False for rows that the update must not see. `metrics` are about everything that was
    sampled, groups that others took the place of included.
    """

    scored: tuple[ScoredRollout, ...]
    group_ids: Tensor
    rewards: Tensor
    is_trained: Tensor
    zero_variance: Tensor
    metrics: Mapping[str, float]

    @property
    def rollouts(self) -> list[Rollout]:
        """The rollouts, in row order."""
        return [item.rollout for item in self.scored]


def sample_groups(
    algorithm: AlgorithmSection,
    *,
    prompts_per_step: int,
    max_new_tokens: int,
    take: Callable[[int], Sequence[Prompt]],
    generate: Callable[[Sequence[Prompt]], Sequence[Rollout]],
    score: Callable[[Sequence[Rollout]], Sequence[ScoredRollout]],
) -> Groups:
    """Groups for one step, by the rules for equal rewards and for responses that were cut.

    With `zero_variance_groups = "resample"` (DAPO's dynamic sampling) further prompts are drawn until
    `prompts_per_step` groups differ within themselves or `max_resample_rounds` is over; surplus is cut.
    """
    scored: list[ScoredRollout] = []
    for _round in range(algorithm.max_resample_rounds if algorithm.zero_variance_groups == "resample" else 1):
        prompts = take(prompts_per_step)
        scored += score(generate(prompts))
        groups = _with_rewards(scored, algorithm, max_new_tokens)
        if len(set(groups.group_ids[~groups.zero_variance].tolist())) >= prompts_per_step:
            break
    if algorithm.zero_variance_groups == "resample":
        return _first_informative(groups, prompts_per_step)
    return groups


def advantages_of(groups: Groups, rewards: Tensor, algorithm: AlgorithmSection) -> Tensor:
    """One advantage per row, 0 where the reward is NaN: against the group's mean or the others."""
    if algorithm.baseline == "leave_one_out":
        return leave_one_out_advantages(rewards, groups.group_ids)
    return group_relative_advantages(
        rewards, groups.group_ids, scale=algorithm.scale, epsilon=algorithm.epsilon
    )


def _metrics(
    scored: Sequence[ScoredRollout], group_ids: Tensor, zero_variance: Tensor, is_trained: Tensor
) -> dict[str, float]:
    """The step's numbers about responses and about groups, under the names of `runs.metric_names`."""
    first_of_group = {int(group): row for row, group in reversed(list(enumerate(group_ids.tolist())))}
    flat = zero_variance[list(first_of_group.values())].double()
    return {
        **response_metrics(scored, is_trained),
        "zero_variance_share": float(flat.mean()) if len(flat) else NAN,
        "num_groups": float(len(first_of_group)),
    }


def _with_rewards(
    scored: Sequence[ScoredRollout], algorithm: AlgorithmSection, max_new_tokens: int
) -> Groups:
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(item.rollout.prompt.group_id, len(numbers)) for item in scored]
    group_ids = torch.tensor(ids, dtype=torch.long)
    raw = raw_scores(scored)
    rewards = _after_overlong_rule(raw, scored, algorithm, max_new_tokens)
    # A penalty for length must not make equal answers look different (DAPO looks at the raw accuracy).
    judged = raw if algorithm.overlong == "soft_penalty" else rewards
    zero_variance = ~informative_groups(judged, group_ids)
    is_trained = ~rewards.isnan()
    if algorithm.zero_variance_groups != "keep":
        is_trained &= ~zero_variance
    metrics = _metrics(scored, group_ids, zero_variance, is_trained)
    return Groups(tuple(scored), group_ids, rewards, is_trained, zero_variance, metrics)


def _after_overlong_rule(
    raw: Tensor, scored: Sequence[ScoredRollout], algorithm: AlgorithmSection, max_new_tokens: int
) -> Tensor:
    if algorithm.overlong == "score":
        return raw
    if algorithm.overlong == "soft_penalty":
        lengths = torch.tensor([len(item.rollout.response_ids) for item in scored])
        cache = algorithm.overlong_cache or max(1, max_new_tokens // 5)
        return raw + soft_overlong_penalty(lengths, max_length=max_new_tokens, cache_length=cache).to(
            raw.dtype
        )
    # "mask": neither trained on nor part of the group's statistics, as if it could not be scored.
    # "zero": the note's rule, a partial response earns nothing.
    return torch.where(is_cut(scored) & ~raw.isnan(), NAN if algorithm.overlong == "mask" else 0.0, raw)


def _first_informative(groups: Groups, count: int) -> Groups:
    """The first `count` groups that differ within themselves; all groups when there are fewer of them."""
    informative = torch.tensor(sorted(set(groups.group_ids[~groups.zero_variance].tolist()))[:count])
    kept = torch.isin(groups.group_ids, informative) | (len(informative) == 0)
    rows = kept.nonzero()[:, 0]
    return Groups(
        scored=tuple(groups.scored[row] for row in rows.tolist()),
        group_ids=groups.group_ids[rows],
        rewards=groups.rewards[rows],
        is_trained=groups.is_trained[rows],
        zero_variance=groups.zero_variance[rows],
        metrics=groups.metrics,
    )
