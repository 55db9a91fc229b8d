"""Each fast equation against a slow and obvious twin: loops over numbers, straight from the definition."""

import itertools
import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

from posttrain.algorithms import (
    aggregate,
    combine_moments,
    entropy,
    exact_kl,
    explained_variance,
    final_reward_targets,
    generalized_advantages,
    group_relative_advantages,
    importance_ratio,
    informative_groups,
    last_token_index,
    leave_one_out_advantages,
    log_ratio,
    masked_mean,
    masked_moments,
    monte_carlo_advantages,
    pairwise_loss,
    preference_probability,
    ranking_loss,
    returns,
    temporal_difference_advantages,
    token_logprobs,
    token_rewards,
    value_loss,
    whiten,
)


def random_case(seed: int, rows: int = 5, width: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and a mask with holes, paddings on either side, and one row that counts nothing."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(rows, width, generator=generator) < 0.6
    mask[0] = False
    return rewards, values, mask


def slow_advantages(
    rewards: list[float],
    values: list[float],
    gamma: float,
    gae_lambda: float,
    horizon: int | None,
    end: float,
) -> list[float]:
    length = len(rewards)
    after = [*values[1:], end]
    deltas = [rewards[t] + gamma * after[t] - values[t] for t in range(length)]
    advantages = []
    for t in range(length):
        steps = length - t if horizon is None else min(horizon, length - t)
        advantages.append(sum((gamma * gae_lambda) ** i * deltas[t + i] for i in range(steps)))
    return advantages


@pytest.mark.parametrize("horizon", [None, 1, 2, 3, 4, 5, 7, 8, 11, 12, 1000])
@pytest.mark.parametrize(
    ("gamma", "gae_lambda"), [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5), (0.0, 0.9), (0.99, 0.0)]
)
def test_gae_equals_the_double_loop(gamma: float, gae_lambda: float, horizon: int | None) -> None:
    rewards, values, mask = random_case(0)
    bootstrap = torch.tensor([7.0, 0.0, -3.0, 2.0, 0.5], dtype=torch.float64)
    garbage = torch.full_like(rewards, math.nan)
    found = generalized_advantages(
        torch.where(mask, rewards, garbage),
        torch.where(mask, values, garbage),
        mask,
        gamma=gamma,
        gae_lambda=gae_lambda,
        horizon=horizon,
        bootstrap_values=bootstrap,
    )
    expected = torch.zeros_like(rewards)
    for row in range(len(mask)):
        at = mask[row]
        numbers = slow_advantages(
            rewards[row][at].tolist(),
            values[row][at].tolist(),
            gamma,
            gae_lambda,
            horizon,
            bootstrap[row].item(),
        )
        expected[row, at] = torch.tensor(numbers, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_two_ends_of_gae() -> None:
    rewards, values, mask = random_case(1)
    arguments: dict[str, Any] = {"gamma": 0.9, "bootstrap_values": torch.ones(5, dtype=torch.float64)}
    temporal = temporal_difference_advantages(rewards, values, mask, **arguments)
    carlo = monte_carlo_advantages(rewards, values, mask, **arguments)
    one_step = generalized_advantages(rewards, values, mask, horizon=1, **arguments)
    torch.testing.assert_close(temporal, one_step)
    row = mask[2].nonzero().flatten().tolist()
    discounted = sum(0.9**i * rewards[2, t].item() for i, t in enumerate(row)) + 0.9 ** len(row)
    assert carlo[2, row[0]].item() == pytest.approx(discounted - values[2, row[0]].item())


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.9, 1.0])
def test_the_numbers_of_the_note(gae_lambda: float) -> None:
    deltas = torch.tensor([1.2, 0.3, 0.8, -0.2, 0.5], dtype=torch.float64)
    mask = torch.ones(5, dtype=torch.bool)
    # rewards that are the deltas, with a critic of 0
    found = generalized_advantages(deltas, torch.zeros_like(deltas), mask, gae_lambda=gae_lambda, horizon=4)[
        0
    ]
    assert found.item() == pytest.approx({0.0: 1.2, 0.5: 1.525, 0.9: 1.9722, 1.0: 2.1}[gae_lambda], abs=1e-12)
    one = generalized_advantages(deltas, torch.zeros_like(deltas), mask, gae_lambda=gae_lambda, horizon=1)[0]
    assert one.item() == pytest.approx(1.2)
    three = generalized_advantages(deltas, torch.zeros_like(deltas), mask, gae_lambda=0.9, horizon=3)[0]
    assert three.item() == pytest.approx(1.2 + 0.9 * 0.3 + 0.81 * 0.8)


def test_gae_without_steps_or_rows() -> None:
    for shape in ((0, 4), (3, 0), (0, 0)):
        empty = torch.zeros(shape)
        assert generalized_advantages(empty, empty, empty.bool()).shape == shape


def test_long_response_keeps_its_precision() -> None:
    length = 5000
    rewards = torch.zeros(1, length)
    rewards[0, -1] = 1.0
    advantages = monte_carlo_advantages(rewards, torch.zeros(1, length), torch.ones(1, length).bool())
    assert torch.equal(advantages, torch.ones(1, length))
    short_sighted = generalized_advantages(rewards, torch.zeros(1, length), torch.ones(1, length).bool())
    assert short_sighted[0, -1000].item() == pytest.approx(0.95**999, rel=1e-4)


def test_returns_and_the_critic_targets_of_the_note_agree() -> None:
    _, values, mask = random_case(2)
    scores = torch.randn(5, dtype=torch.float64)
    rewards = token_rewards(scores, None, mask, kl_coef=0.0)
    advantages = generalized_advantages(rewards, values, mask, gae_lambda=1.0)
    torch.testing.assert_close(returns(advantages, values, mask), final_reward_targets(scores, mask))


def test_token_rewards_pay_on_the_last_counted_token() -> None:
    kl, _, mask = random_case(3)
    scores = torch.randn(5, dtype=torch.float64)
    scores[0] = math.nan  # row 0 counts nothing, so its score is never read
    found = token_rewards(scores, torch.where(mask, kl, math.nan), mask, kl_coef=0.3)
    for row in range(5):
        last = max(mask[row].nonzero().flatten().tolist(), default=None)
        for t in range(mask.shape[1]):
            expected = -0.3 * kl[row, t].item() if mask[row, t] else 0.0
            expected += scores[row].item() if t == last else 0.0
            assert found[row, t].item() == pytest.approx(expected)
    assert last_token_index(mask[1:]).tolist() == [max(r.nonzero().flatten().tolist()) for r in mask[1:]]


def slow_group(rewards: list[float], epsilon: float) -> list[float]:
    valid = [r for r in rewards if math.isfinite(r)]
    if len(valid) < 2 or max(valid) == min(valid):
        return [0.0] * len(rewards)
    mean, std = statistics.fmean(valid), statistics.stdev(valid)
    return [(r - mean) / (std + epsilon) if math.isfinite(r) else 0.0 for r in rewards]


@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_group_advantages_equal_the_loop_over_groups(epsilon: float) -> None:
    generator = torch.Generator().manual_seed(4)
    rewards = torch.randint(-2, 3, (60,), generator=generator).double() / 2
    ids = torch.randint(-5, 6, (60,), generator=generator) * 10**15
    rewards[::7] = math.nan
    rewards[3], rewards[4] = math.inf, -math.inf
    found = group_relative_advantages(rewards, ids, epsilon=epsilon)
    alone = leave_one_out_advantages(rewards, ids)
    centered = group_relative_advantages(rewards, ids, scale="none")
    informative = informative_groups(rewards, ids)
    for one in ids.unique():
        at = (ids == one).nonzero().flatten()
        members = rewards[at].tolist()
        assert found[at].tolist() == pytest.approx(slow_group(members, epsilon), abs=1e-12)
        valid = [r for r in members if math.isfinite(r)]
        assert bool(informative[at].all()) == bool(informative[at].any()) == (len(set(valid)) > 1)
        for position, reward in zip(at.tolist(), members, strict=True):
            others = list(valid)
            if math.isfinite(reward) and len(valid) > 1:
                others.remove(reward)
                assert alone[position].item() == pytest.approx(reward - statistics.fmean(others), abs=1e-12)
                assert centered[position].item() == pytest.approx(reward - statistics.fmean(valid), abs=1e-12)
            else:
                assert alone[position].item() == 0.0 == centered[position].item()


def test_group_advantages_of_nearly_equal_tiny_and_huge_rewards() -> None:
    ids = torch.zeros(4, dtype=torch.long)
    base = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    expected = group_relative_advantages(base, ids)
    for rewards in (base * 1e-200, base * 1e200, base * 2.0**-30 + 1.0):
        torch.testing.assert_close(group_relative_advantages(rewards, ids), expected)


def slow_plackett_luce(rewards: list[float], order: tuple[int, ...]) -> float:
    loss = 0.0
    for k in range(len(order)):
        left = [rewards[i] for i in order[k:]]
        loss -= rewards[order[k]] - math.log(sum(math.exp(r) for r in left))
    return loss


@pytest.mark.parametrize(
    "ranks", [[0, 1, 2, 3, 4], [2, 0, 1, 0, 2], [0, 0, 0, 1, 1], [3, 3, 3, 3, 3], [9, -1, 4, 4, 9]]
)
def test_ranking_losses_equal_their_loops(ranks: list[int]) -> None:
    rewards = [0.3, -1.2, 2.0, 0.7, 0.1]
    ordered = [(i, j) for i in range(5) for j in range(5) if ranks[i] < ranks[j]]
    pairs = [math.log1p(math.exp(-(rewards[i] - rewards[j]))) for i, j in ordered]
    x = torch.tensor(rewards, dtype=torch.float64)
    found = ranking_loss(x, torch.tensor(ranks))
    assert found.item() == pytest.approx(sum(pairs) / max(len(pairs), 1))
    orders = [
        order
        for order in itertools.permutations(range(5))
        if all(ranks[a] <= ranks[b] for a, b in itertools.pairwise(order))
    ]
    expected = statistics.fmean(slow_plackett_luce(rewards, order) for order in orders)
    listwise = ranking_loss(x, torch.tensor(ranks), kind="plackett_luce")
    assert listwise.item() == pytest.approx(expected)


def test_a_ranking_of_two_is_a_pair() -> None:
    rewards = torch.tensor([0.4, 1.0], dtype=torch.float64)
    for kind in ("pairs", "plackett_luce"):
        first = ranking_loss(rewards, torch.tensor([0, 1]), kind=kind)
        assert first.item() == pytest.approx(pairwise_loss(rewards[:1], rewards[1:]).item())
    tie = ranking_loss(rewards, torch.tensor([0, 0]), kind="plackett_luce")
    assert tie.item() == pytest.approx(pairwise_loss(rewards[:1], rewards[1:], label_smoothing=0.5).item())
    assert preference_probability(*rewards).item() == pytest.approx(1 / (1 + math.exp(0.6)))


@pytest.mark.parametrize("kind", ["pairs", "plackett_luce"])
def test_nothing_to_rank_is_zero_with_a_zero_gradient(kind: Any) -> None:
    for size in (0, 1):
        rewards = torch.ones(size, requires_grad=True)
        loss = ranking_loss(rewards, torch.zeros(size), kind=kind)
        loss.backward()
        assert loss.item() == 0.0
        assert rewards.grad is not None
        assert not rewards.grad.any()


def test_ratio_levels_equal_their_loops() -> None:
    policy, old, mask = random_case(5)
    token, sequence, mean = (
        log_ratio(policy, old, mask, level=level) for level in ("token", "sequence", "sequence_mean")
    )
    for row in range(len(mask)):
        at = mask[row].nonzero().flatten().tolist()
        differences = [(policy[row, t] - old[row, t]).item() for t in at]
        for t in range(mask.shape[1]):
            counted = t in at
            assert token[row, t].item() == ((policy - old)[row, t].item() if counted else 0.0)
            assert sequence[row, t].item() == pytest.approx(sum(differences) if counted else 0.0)
            assert mean[row, t].item() == pytest.approx(statistics.fmean(differences) if counted else 0.0)


def test_aggregation_equals_its_loops() -> None:
    x, _, mask = random_case(6)
    rows = [[x[r, t].item() for t in range(x.shape[1]) if mask[r, t]] for r in range(len(x))]
    tokens = [v for row in rows for v in row]
    expected: dict[Any, tuple[float, int]] = {
        "token": (sum(tokens), len(tokens)),
        "sequence": (sum(sum(row) / len(row) for row in rows if row), sum(bool(row) for row in rows)),
        "sequence_sum": (sum(tokens), len(rows)),
        "constant": (sum(tokens) / 9, len(rows)),
    }
    for mode, (loss_sum, units) in expected.items():
        found = aggregate(x, mask, mode=mode, max_length=9)
        assert found[0].item() == pytest.approx(loss_sum)
        assert found[1].item() == units
    assert masked_mean(x, mask).item() == pytest.approx(statistics.fmean(tokens))
    whitened = whiten(x, mask)
    for r, t in mask.nonzero().tolist():
        scale = math.sqrt(statistics.pvariance(tokens) + 1e-8)
        assert whitened[r, t].item() == pytest.approx((x[r, t].item() - statistics.fmean(tokens)) / scale)


def test_masked_mean_does_not_broadcast_on_the_wrong_axis() -> None:
    x, mask = torch.arange(9.0).view(3, 3), torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    assert masked_mean(x, mask).item() == pytest.approx((0 + 3 + 4 + 6 + 7 + 8) / 6)


def test_moments_of_ranks_combine() -> None:
    left = masked_moments(torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3).bool())
    right = masked_moments(torch.tensor([[10.0, 99.0]]), torch.tensor([[True, False]]))
    nothing = masked_moments(torch.zeros(1, 2), torch.zeros(1, 2).bool())
    both = combine_moments(iter([left, nothing, right]))
    assert (both.count.item(), both.mean.item(), both.variance.item()) == (4, 4, 12.5)
    part = whiten(torch.tensor([[10.0]]), torch.ones(1, 1).bool(), moments=both)
    assert part.item() == pytest.approx(6 / math.sqrt(12.5 + 1e-8))
    kept = whiten(torch.tensor([[1.0, 3.0]]), torch.ones(1, 2).bool(), shift_mean=False)
    assert kept.mean().item() == pytest.approx(2.0)


def test_explained_variance() -> None:
    values, targets, mask = random_case(7)
    assert explained_variance(targets, targets, mask).item() == 1.0
    assert explained_variance(torch.full_like(targets, 5.0), targets, mask).item() == pytest.approx(
        0.0, abs=1e-12
    )
    assert explained_variance(values, torch.full_like(targets, 5.0), mask).item() == 0.0
    # Targets that vary by so little that the share left is beyond float32.
    hardly = torch.tensor([[1.4e-45, 0.0]])
    far_off = explained_variance(torch.tensor([[0.0, 1.0]]), hardly, torch.ones(1, 2).bool())
    assert far_off.item() == torch.finfo(torch.float32).min
    v, t = values[mask].tolist(), targets[mask].tolist()
    left = statistics.pvariance([b - a for a, b in zip(v, t, strict=True)])
    found = explained_variance(values, targets, mask).item()
    assert found == pytest.approx(1 - left / statistics.pvariance(t))


def test_distributions_equal_sums_over_the_vocabulary() -> None:
    generator = torch.Generator().manual_seed(8)
    logits, other = (3 * torch.randn(2, 3, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    logits[0, 0, 2] = other[0, 0, 2] = -math.inf
    ids = torch.randint(3, 6, (2, 3), generator=generator)
    logp, h = token_logprobs(logits, ids, temperature=0.7), entropy(logits, temperature=0.7)
    forward, reverse = (exact_kl(logits, other, direction=d, temperature=0.7) for d in ("forward", "reverse"))

    def softmax(z: list[float]) -> list[float]:
        e = [math.exp(v / 0.7) for v in z]
        return [v / sum(e) for v in e]

    for b, t in itertools.product(range(2), range(3)):
        p, q = softmax(logits[b, t].tolist()), softmax(other[b, t].tolist())
        assert logp[b, t].item() == pytest.approx(math.log(p[ids[b, t]]))
        assert h[b, t].item() == pytest.approx(-sum(v * math.log(v) for v in p if v))
        assert reverse[b, t].item() == pytest.approx(
            sum(v * math.log(v / w) for v, w in zip(p, q, strict=True) if v)
        )
        assert forward[b, t].item() == pytest.approx(
            sum(w * math.log(w / v) for v, w in zip(p, q, strict=True) if w)
        )


def test_ratio_never_overflows_and_small_ones_are_exact() -> None:
    raw = torch.tensor([[0.0, math.log(3.0), 100.0, -100.0]], requires_grad=True)
    ratio = importance_ratio(raw)
    assert ratio[0, 0].item() == 1.0
    assert torch.isfinite(ratio).all()
    ratio.sum().backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_value_clip_needs_the_old_values() -> None:
    x = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="old_values"):
        value_loss(x, x, clip=0.2)
