"""From scores to advantages: equal rewards, responses that were cut, responses that could not be scored."""

from __future__ import annotations

import math

import pytest
import torch

from posttrain.config.algorithm import AlgorithmSection
from posttrain.recipes.groups import advantages_of, sample_groups
from posttrain.types import Prompt, Rollout, Score, ScoredRollout


def sampled(
    plan: dict[str, list[float | None]], *, cut: set[tuple[str, int]] = frozenset(), lengths=None, **settings
):
    """Groups of the prompts in `plan`, drawn `len` at a time in this order; `cut` ended by length."""
    names = iter(plan)
    drawn: list[int] = []

    def take(n: int) -> list[Prompt]:
        drawn.append(n)
        return [Prompt(next(names), "?", token_ids=(1,)) for _ in range(n)]

    def generate(prompts):
        return [
            Rollout(
                prompt,
                i,
                tuple(range((lengths or {}).get((prompt.prompt_id, i), 2))),
                (-1.0,) * (lengths or {}).get((prompt.prompt_id, i), 2),
                "length" if (prompt.prompt_id, i) in cut else "eos",
                "text",
                0,
            )
            for prompt in prompts
            for i in range(len(plan[prompt.prompt_id]))
        ]

    def score(rollouts):
        values = [plan[r.prompt.prompt_id][r.sample_index] for r in rollouts]
        return [ScoredRollout(r, Score(v, {"exact": v})) for r, v in zip(rollouts, values, strict=True)]

    algorithm = AlgorithmSection(kl_coef=0.0, **settings)
    per_step = settings.get("max_resample_rounds") and 1
    groups = sample_groups(
        algorithm,
        prompts_per_step=per_step or len(plan),
        max_new_tokens=10,
        take=take,
        generate=generate,
        score=score,
    )
    return groups, advantages_of(groups, groups.rewards, algorithm), drawn


def test_advantages_compare_within_a_group():
    groups, advantages, _ = sampled({"a": [1.0, 0.0], "b": [5.0, 5.0]})
    half = math.sqrt(0.5)
    assert advantages.tolist() == pytest.approx([half, -half, 0.0, 0.0])
    assert groups.is_trained.all()
    assert groups.metrics["zero_variance_share"] == 0.5


def test_equal_rewards_can_be_dropped():
    groups, _, _ = sampled({"a": [1.0, 0.0], "b": [5.0, 5.0]}, zero_variance_groups="drop")
    assert groups.is_trained.tolist() == [True, True, False, False]


def test_unscored_responses_leave_statistics_and_training():
    groups, advantages, _ = sampled({"a": [None, 1.0, 0.0]})
    half = math.sqrt(0.5)
    assert advantages.tolist() == pytest.approx([0.0, half, -half])
    assert groups.is_trained.tolist() == [False, True, True]
    metrics = groups.metrics
    assert metrics["unscored_share"] == pytest.approx(1 / 3)
    assert metrics["reward_mean"] == 0.5
    assert metrics["reward/exact"] == 0.5


@pytest.mark.parametrize(
    ("rule", "rewards", "trained"),
    [
        ("score", [1.0, 0.0, 1.0], [True, True, True]),
        ("zero", [1.0, 0.0, 0.0], [True, True, True]),
        ("mask", [1.0, 0.0, math.nan], [True, True, False]),
    ],
)
def test_responses_that_were_cut(rule, rewards, trained):
    groups, _, _ = sampled({"a": [1.0, 0.0, 1.0]}, cut={("a", 2)}, overlong=rule)
    assert groups.rewards.tolist() == pytest.approx(rewards, nan_ok=True)
    assert groups.is_trained.tolist() == trained


def test_soft_penalty_starts_before_the_limit():
    groups, _, _ = sampled(
        {"a": [1.0, 1.0, 1.0]},
        lengths={("a", 0): 6, ("a", 1): 8, ("a", 2): 10},
        overlong="soft_penalty",
        overlong_cache=4,
    )
    assert groups.rewards.tolist() == pytest.approx([1.0, 0.5, 0.0])
    # equal answers stay equal for the rule about equal groups, whatever their length
    assert groups.zero_variance.all()


def test_resampling_draws_until_a_group_differs():
    plan = {"a": [1.0, 1.0], "b": [0.0, 0.0], "c": [1.0, 0.0], "d": [0.0, 1.0]}
    groups, _, drawn = sampled(plan, zero_variance_groups="resample", max_resample_rounds=4)
    assert drawn == [1, 1, 1]
    assert {r.prompt.prompt_id for r in groups.rollouts} == {"c"}
    assert groups.is_trained.all()
    assert groups.metrics["num_groups"] == 3


def test_resampling_gives_up_and_trains_on_nothing():
    plan = {name: [1.0, 1.0] for name in "abcd"}
    groups, _, drawn = sampled(plan, zero_variance_groups="resample", max_resample_rounds=2)
    assert drawn == [1, 1]
    assert not groups.is_trained.any()
    assert len(groups.rollouts) == 4


def test_groups_are_by_id_not_by_position():
    plan = {"a": [1.0, 0.0], "b": [0.0, 2.0]}
    groups, advantages, _ = sampled(plan)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = advantages_of(
        type(groups)(
            tuple(groups.scored[i] for i in order),
            groups.group_ids[order],
            groups.rewards[order],
            groups.is_trained[order],
            groups.zero_variance[order],
            groups.metrics,
        ),
        groups.rewards[order],
        AlgorithmSection(),
    )
    assert torch.equal(shuffled, advantages[order])


def test_leave_one_out():
    _, advantages, _ = sampled({"a": [1.0, 0.0, 0.5]}, preset="rloo")
    assert advantages.tolist() == pytest.approx([0.75, -0.75, 0.0])


def test_a_group_whose_cut_responses_lose_their_reward_is_informative():
    groups, _, _ = sampled({"a": [1.0, 1.0]}, cut={("a", 1)}, overlong="zero", zero_variance_groups="drop")
    assert groups.is_trained.all()


def test_metrics_count_groups_that_others_took_the_place_of():
    plan = {"a": [1.0, 1.0], "b": [1.0, 0.0]}
    groups, _, _ = sampled(plan, zero_variance_groups="resample", max_resample_rounds=2)
    assert groups.metrics["reward_mean"] == 0.75
    assert groups.metrics["zero_variance_share"] == 0.5
    assert groups.metrics["trained_share"] == 0.5
