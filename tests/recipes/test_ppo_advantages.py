"""Scores and values to advantages and targets: against a slow twin, and every rule for responses that were cut."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.config.ppo import PPOAlgorithmSection
from posttrain.recipes.ppo_advantages import estimate_advantages, final_scores
from posttrain.types import Prompt, Rollout, Score, ScoredRollout

PLAIN = {"kl_coef": 0.0, "value_clip": None}


def scored(*rows: tuple[float | None, bool]) -> list[ScoredRollout]:
    """Responses of two tokens with (score, was cut)."""
    return [
        ScoredRollout(
            Rollout(Prompt(str(i), "?"), 0, (5, 6), (-1.0, -1.0), "length" if cut else "eos", "", 0),
            Score(value),
        )
        for i, (value, cut) in enumerate(rows)
    ]


ROWS = ((1.0, False), (2.0, True), (None, False), (None, True))


@pytest.mark.parametrize(
    ("overlong", "scores", "bootstraps", "trained"),
    [
        ("score", [1.0, 2.0], [False, False], [True, True, False, False]),
        ("zero", [1.0, 0.0], [False, False], [True, True, False, False]),
        ("bootstrap", [1.0, 0.0], [False, True], [True, True, False, False]),
        ("mask", [1.0], [False], [True, False, False, False]),
    ],
)
def test_cut_responses(overlong, scores, bootstraps, trained):
    """What could not be scored is trained on under no rule; a score and a bootstrap never come together."""
    found = final_scores(scored(*ROWS), PPOAlgorithmSection(**PLAIN, overlong=overlong))
    assert found.is_trained.tolist() == trained
    kept = found.select(found.is_trained.nonzero()[:, 0])
    assert kept.scores.tolist() == scores
    assert kept.bootstraps.tolist() == bootstraps


def slow(scores, values, lengths, kl, algorithm, kl_coef, bootstrap):
    """Per row and token, by the definitions."""
    advantages, targets = [], []
    for i, n in enumerate(lengths):
        rewards = [-kl_coef * kl[i][t] for t in range(n)]
        rewards[-1] += scores[i]
        following = [*values[i][1:n], bootstrap[i]]
        deltas = [rewards[t] + algorithm.gamma * following[t] - values[i][t] for t in range(n)]

        def window(t, gae_lambda, deltas=deltas, n=n):
            last = n if algorithm.horizon is None else min(n, t + algorithm.horizon)
            return sum((algorithm.gamma * gae_lambda) ** (u - t) * deltas[u] for u in range(t, last))

        critic_lambda = algorithm.gae_lambda if algorithm.critic_lambda is None else algorithm.critic_lambda
        advantages.append([window(t, algorithm.gae_lambda) for t in range(n)])
        if algorithm.critic_target == "reward":
            targets.append([scores[i] + bootstrap[i]] * n)
        else:
            targets.append([window(t, critic_lambda) + values[i][t] for t in range(n)])
    if algorithm.whiten_advantages:
        flat = [a for row in advantages for a in row]
        mean = math.fsum(flat) / len(flat)
        variance = math.fsum((a - mean) ** 2 for a in flat) / len(flat)
        advantages = [[(a - mean) / math.sqrt(variance + 1e-8) for a in row] for row in advantages]
    return advantages, targets


numbers = st.floats(-3, 3, width=32)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_the_slow_twin(data):
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    rows, time = len(lengths), max(lengths)
    target = data.draw(st.sampled_from(["reward", "return"]))
    algorithm = PPOAlgorithmSection(
        kl_in="loss" if target == "reward" else "reward",
        kl="k3",
        gamma=data.draw(st.sampled_from([1.0, 0.9])),
        gae_lambda=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        critic_lambda=None if target == "reward" else data.draw(st.sampled_from([None, 1.0])),
        horizon=data.draw(st.sampled_from([None, 1, 3])),
        critic_target=target,
        whiten_advantages=data.draw(st.booleans()),
    )
    kl_coef = 0.0 if target == "reward" else 0.1
    grid = st.lists(st.lists(numbers, min_size=time, max_size=time), min_size=rows, max_size=rows)
    values, kl = data.draw(grid), data.draw(grid)
    scores = data.draw(st.lists(numbers, min_size=rows, max_size=rows))
    is_cut = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    bootstrap = [data.draw(numbers) if cut else 0.0 for cut in is_cut]
    scores = [0.0 if cut else score for cut, score in zip(is_cut, scores, strict=True)]
    mask = torch.arange(time)[None] < torch.tensor(lengths)[:, None]
    # behind a row's end anything may stand
    tensors = [torch.where(mask, torch.tensor(x), float("nan")) for x in (values, kl)]
    found = estimate_advantages(
        torch.tensor(scores),
        tensors[0],
        mask,
        algorithm,
        kl=tensors[1],
        kl_coef=kl_coef,
        bootstrap_values=torch.tensor(bootstrap),
    )
    advantages, targets = slow(scores, values, lengths, kl, algorithm, kl_coef, bootstrap)
    for i, n in enumerate(lengths):
        assert found.advantages[i, :n].tolist() == pytest.approx(advantages[i], abs=2e-3, rel=1e-3)
        assert found.targets[i, :n].tolist() == pytest.approx(targets[i], abs=1e-4)
        assert not found.advantages[i, n:].any()
    assert all(math.isfinite(value) for value in found.metrics.values())


def test_whitening_is_over_the_whole_step_and_after_the_targets():
    """Rows of very different length: each token counts once; the critic's targets are not whitened."""
    mask = torch.tensor([[True] * 6, [True] + [False] * 5])
    values = torch.zeros(2, 6)
    algorithm = PPOAlgorithmSection(**PLAIN, gae_lambda=1.0)
    found = estimate_advantages(torch.tensor([1.0, 8.0]), values, mask, algorithm)
    counted = found.advantages[mask]
    assert float(counted.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(counted.std(correction=0)) == pytest.approx(1.0, abs=1e-5)
    assert found.metrics["advantage_mean"] == pytest.approx((6 * 1 + 8) / 7)
    assert found.targets[mask].tolist() == [1.0] * 6 + [8.0]


def test_a_cut_response_bootstraps_from_its_end_and_a_complete_one_does_not():
    mask = torch.ones(2, 2, dtype=torch.bool)
    values = torch.tensor([[0.5, 0.6], [0.5, 0.6]])
    algorithm = PPOAlgorithmSection(**PLAIN, gae_lambda=1.0, whiten_advantages=False, overlong="bootstrap")
    found = estimate_advantages(
        torch.tensor([1.0, 0.0]), values, mask, algorithm, bootstrap_values=torch.tensor([0.0, 0.9])
    )
    torch.testing.assert_close(found.targets, torch.tensor([[1.0, 1.0], [0.9, 0.9]]))
    torch.testing.assert_close(found.advantages, torch.tensor([[0.5, 0.4], [0.4, 0.3]]))


def test_the_explained_variance_is_of_the_values_before_the_update():
    mask = torch.ones(2, 1, dtype=torch.bool)
    algorithm = PPOAlgorithmSection(**PLAIN)
    perfect = estimate_advantages(torch.tensor([1.0, 3.0]), torch.tensor([[1.0], [3.0]]), mask, algorithm)
    wrong = estimate_advantages(torch.tensor([1.0, 3.0]), torch.tensor([[3.0], [1.0]]), mask, algorithm)
    assert perfect.metrics["explained_variance"] == pytest.approx(1.0)
    assert wrong.metrics["explained_variance"] == pytest.approx(-3.0)
