"""The enumerated oracle: a tabular language model small enough to list all its responses.

Every possible group of responses is put into one batch, weighted by its probability. The gradient of a policy loss
over that batch is then its expectation, and it must be minus the exact gradient of E[R], to rounding. This one
comparison catches wrong signs, masks, shifts and normalisations together.
"""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from posttrain.algorithms import (
    aggregate,
    clipped_surrogate,
    generalized_advantages,
    group_relative_advantages,
    leave_one_out_advantages,
    log_ratio,
    token_logprobs,
    token_rewards,
)

EOS, V, T = 0, 3, 2
NO_CLIP = {"clip_low": math.inf, "clip_high": math.inf}
CLIP = {"clip_low": 0.2, "clip_high": 0.2}


def responses() -> list[tuple[int, ...]]:
    """All responses: they end with EOS or are cut after T tokens."""
    found = []
    for ids in itertools.product(range(V), repeat=T):
        length = ids.index(EOS) + 1 if EOS in ids else T
        if all(i == EOS for i in ids[length:]):
            found.append(ids[:length])
    return found


RESPONSES = responses()
PREFIXES = sorted({r[:t] for r in RESPONSES for t in range(len(r))})
MASK = torch.tensor([[t < len(r) for t in range(T)] for r in RESPONSES])
IDS = torch.tensor([[*r, *[1] * (T - len(r))] for r in RESPONSES])
# the state each token is drawn in; padding points at some state, which must not matter
STATES = torch.tensor([[PREFIXES.index(r[:t]) if t < len(r) else 0 for t in range(T)] for r in RESPONSES])
REWARDS = torch.tensor([0.5, 2.0, -1.0, 0.0, 1.5, -0.5, 3.0], dtype=torch.float64)[: len(RESPONSES)]


def table(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(PREFIXES), V, generator=generator, dtype=torch.float64)


def logprobs(logits: Tensor) -> Tensor:
    return token_logprobs(logits[STATES], IDS)


def probabilities(logits: Tensor) -> Tensor:
    return torch.where(MASK, logprobs(logits), 0.0).sum(-1).exp()


def exact_gradient(logits: Tensor) -> Tensor:
    free = logits.clone().requires_grad_()
    return torch.autograd.grad((probabilities(free) * REWARDS).sum(), free)[0]


def finite_difference_gradient(logits: Tensor, step: float = 1e-5) -> Tensor:
    gradient = torch.zeros_like(logits)
    for i in range(logits.numel()):
        up, down = logits.clone(), logits.clone()
        up.view(-1)[i] += step
        down.view(-1)[i] -= step
        gradient.view(-1)[i] = ((probabilities(up) - probabilities(down)) * REWARDS).sum() / (2 * step)
    return gradient


def expected_loss_gradient(
    logits: Tensor,
    old_logits: Tensor,
    rows: Tensor,
    weights: Tensor,
    advantages: Tensor,
    *,
    level: Any,
    mode: Any,
    clips: dict[str, float],
) -> Tensor:
    """The gradient of `sum_rows weight * loss(row)`; `rows` say which response each row is."""
    free = logits.clone().requires_grad_()
    raw = log_ratio(logprobs(free)[rows], logprobs(old_logits)[rows], MASK[rows], level=level)
    per_token = clipped_surrogate(raw, advantages, **clips) * weights.unsqueeze(-1)
    return torch.autograd.grad(aggregate(per_token, MASK[rows], mode=mode, max_length=T)[0], free)[0]


def all_groups(old_logits: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every group of `size` responses, flattened: which response, its group's id, its weight P(group) / size."""
    groups = torch.tensor(list(itertools.product(range(len(RESPONSES)), repeat=size)))
    weights = probabilities(old_logits)[groups].prod(-1, keepdim=True).expand_as(groups) / size
    ids = torch.arange(len(groups)).unsqueeze(-1).expand_as(groups)
    return groups.flatten(), ids.flatten(), weights.flatten()


def test_the_responses_are_all_there() -> None:
    assert len(RESPONSES) == 7
    assert probabilities(table(0)).sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(
        exact_gradient(table(0)), finite_difference_gradient(table(0)), rtol=1e-8, atol=1e-9
    )


LEVELS = [
    pytest.param("token", "sequence_sum", 1.0, id="token ratio, summed over the response"),
    pytest.param("token", "constant", 1.0 / T, id="token ratio, divided by a constant"),
    pytest.param("sequence", "sequence", 1.0, id="ratio of the whole response"),
]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(("level", "mode", "factor"), LEVELS)
def test_group_baselines_on_policy(size: int, level: str, mode: str, factor: float) -> None:
    logits = table(1)
    rows, ids, weights = all_groups(logits, size)
    baselines = {
        1.0: leave_one_out_advantages(REWARDS[rows], ids),
        (size - 1) / size: group_relative_advantages(REWARDS[rows], ids, scale="none"),
    }
    for share, advantages in baselines.items():
        found = expected_loss_gradient(
            logits, logits, rows, weights, advantages.unsqueeze(-1), level=level, mode=mode, clips=CLIP
        )
        torch.testing.assert_close(found, -share * factor * exact_gradient(logits), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("level", "mode", "factor"), LEVELS)
def test_reinforce_without_a_baseline(level: str, mode: str, factor: float) -> None:
    logits = table(2)
    rows = torch.arange(len(RESPONSES))
    found = expected_loss_gradient(
        logits, logits, rows, probabilities(logits), REWARDS.unsqueeze(-1), level=level, mode=mode, clips=CLIP
    )
    torch.testing.assert_close(found, -factor * exact_gradient(logits), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gae_lambda", [1.0, 0.0, 0.6])
def test_ppo_with_a_critic_on_policy(gae_lambda: float) -> None:
    """Any critic with lambda 1; below 1 the true values of the policy, with which every lambda is unbiased."""
    logits = table(3)
    probs = probabilities(logits)
    true_values = torch.zeros(len(PREFIXES), dtype=torch.float64)
    for s, prefix in enumerate(PREFIXES):
        below = torch.tensor([r[: len(prefix)] == prefix and len(r) > len(prefix) for r in RESPONSES])
        true_values[s] = (probs * REWARDS)[below].sum() / probs[below].sum()
    values = table(4)[:, 0] if gae_lambda == 1.0 else true_values
    rewards = token_rewards(REWARDS, None, MASK, kl_coef=0.0)
    advantages = generalized_advantages(rewards, values[STATES], MASK, gae_lambda=gae_lambda)
    rows = torch.arange(len(RESPONSES))
    found = expected_loss_gradient(
        logits, logits, rows, probs, advantages, level="token", mode="sequence_sum", clips=CLIP
    )
    torch.testing.assert_close(found, -exact_gradient(logits), rtol=1e-9, atol=1e-12)


def test_off_policy_the_unclipped_response_ratio_stays_exact() -> None:
    old, new = table(5), table(5) + 0.3 * table(6)
    rows, ids, weights = all_groups(old, 2)
    advantages = leave_one_out_advantages(REWARDS[rows], ids).unsqueeze(-1)
    found = expected_loss_gradient(
        new, old, rows, weights, advantages, level="sequence", mode="sequence", clips=NO_CLIP
    )
    torch.testing.assert_close(found, -exact_gradient(new), rtol=1e-9, atol=1e-12)
    clipped = expected_loss_gradient(
        new, old, rows, weights, advantages, level="sequence", mode="sequence", clips=CLIP
    )
    assert not torch.allclose(clipped, found)


def test_dividing_by_std_or_by_length_is_biased() -> None:
    """The negative control: the oracle tells apart what is known to be biased."""
    logits = table(1)
    rows, ids, weights = all_groups(logits, 2)
    exact = -exact_gradient(logits)
    scaled = group_relative_advantages(REWARDS[rows], ids).unsqueeze(-1)
    centered = leave_one_out_advantages(REWARDS[rows], ids).unsqueeze(-1)
    for advantages, level, mode in (
        (scaled, "token", "sequence_sum"),
        (centered, "token", "sequence"),
        (centered, "sequence_mean", "sequence"),
        (-centered, "token", "sequence_sum"),
    ):
        found = expected_loss_gradient(
            logits, logits, rows, weights, advantages, level=level, mode=mode, clips=CLIP
        )
        scale = (found * exact).sum() / exact.square().sum()
        assert not torch.allclose(found, scale.clamp(min=0) * exact, rtol=1e-3)


def test_a_few_steps_reach_the_best_response() -> None:
    """Known optimum: GRPO's loss on sampled groups, and its sign: with negated rewards the best one dies out."""
    for sign in (1.0, -1.0):
        generator = torch.Generator().manual_seed(0)
        logits = torch.zeros(len(PREFIXES), V, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.3)
        for _ in range(60):
            rows = torch.multinomial(
                probabilities(logits.detach()), 16, replacement=True, generator=generator
            )
            advantages = group_relative_advantages(sign * REWARDS[rows], torch.zeros_like(rows))
            raw = log_ratio(
                logprobs(logits)[rows], logprobs(logits.detach())[rows], MASK[rows], level="token"
            )
            loss_sum, units = aggregate(
                clipped_surrogate(raw, advantages.unsqueeze(-1), **CLIP), MASK[rows], mode="sequence"
            )
            optimizer.zero_grad()
            (loss_sum / units).backward()
            optimizer.step()
        best = probabilities(logits.detach())[REWARDS.argmax()].item()
        assert best > 0.95 if sign > 0 else best < 0.02
