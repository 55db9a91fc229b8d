"""What holds for any batch: what a mask hides is never seen; order, padding and micro-batches change nothing."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from posttrain.algorithms import (
    aggregate,
    clip_fractions,
    clipped_surrogate,
    combine_moments,
    entropy,
    exact_kl,
    explained_variance,
    generalized_advantages,
    group_relative_advantages,
    k3,
    keep_counted,
    leave_one_out_advantages,
    log_ratio,
    masked_mean,
    masked_moments,
    pairwise_loss,
    ranking_loss,
    returns,
    sampler_mismatch,
    token_logprobs,
    token_rewards,
    truncated_importance_weights,
    value_clip_fraction,
    value_loss,
    whiten,
)

MODES = ("token", "sequence", "sequence_sum", "constant")
LEVELS = ("token", "sequence", "sequence_mean")
GARBAGE = (math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0)
V = 4

quick = settings(deadline=None, max_examples=25, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 7))


class Batch:
    """A random batch; `spoilt` puts garbage wherever the mask is False."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        generator = torch.Generator().manual_seed(seed)

        def randn(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        self.mask = torch.rand(shape, generator=generator) < 0.6
        self.ids = torch.randint(0, V, shape, generator=generator)
        self.logits, self.reference_logits = randn(*shape, V), randn(*shape, V)
        self.old, self.values, self.old_values, self.rewards = (randn(*shape) for _ in range(4))
        self.scores = randn(shape[0])

    def spoilt(self, garbage: float) -> "Batch":
        other = object.__new__(Batch)
        for name, tensor in vars(self).items():
            hidden = name not in ("mask", "ids", "scores")
            wide = self.mask.unsqueeze(-1) if tensor.dim() == 3 else self.mask
            setattr(other, name, torch.where(wide, tensor, garbage) if hidden else tensor)
        return other

    def rows(self, index: Any) -> "Batch":
        other = object.__new__(Batch)
        for name, tensor in vars(self).items():
            setattr(other, name, tensor[index])
        return other


def loss_and_units(
    batch: Batch, logits: Tensor, values: Tensor, mode: Any, level: Any
) -> tuple[Tensor, Tensor]:
    """The whole chain of PPO with every term on, from logits to one number."""
    mask = batch.mask
    z = keep_counted(logits, mask)
    reference = keep_counted(batch.reference_logits, mask)
    logp = token_logprobs(z, batch.ids, temperature=0.9)
    kl = exact_kl(z, reference, direction="reverse") + k3(logp, token_logprobs(reference, batch.ids))
    advantages = generalized_advantages(batch.rewards, batch.old_values, mask, horizon=3)
    targets = returns(advantages, batch.old_values, mask)
    raw = log_ratio(logp, batch.old, mask, level=level)
    weights = truncated_importance_weights(batch.old, keep_counted(batch.old, mask) - 0.1, cap=2.0)
    policy = clipped_surrogate(raw, advantages, clip_low=0.2, clip_high=0.2) * keep_counted(weights, mask)
    critic = value_loss(keep_counted(values, mask), targets, old_values=batch.old_values, clip=0.2)
    per_token = policy - 0.1 * entropy(z) + 0.2 * kl + 0.3 * critic
    return aggregate(per_token, mask, mode=mode, max_length=10)


def value_and_gradients(batch: Batch, mode: Any, level: Any, parts: list[Any] | None = None) -> list[Tensor]:
    logits, values = batch.logits.clone().requires_grad_(), batch.values.clone().requires_grad_()
    parts = [slice(None)] if parts is None else parts
    found = [loss_and_units(batch.rows(p), logits[p], values[p], mode, level) for p in parts]
    total = sum(units for _, units in found)
    loss = torch.zeros((), dtype=torch.float64)
    for loss_sum, _ in found:
        share = loss_sum / max(int(total), 1)
        share.backward()
        loss += share.detach()
    assert logits.grad is not None
    assert values.grad is not None
    return [loss, logits.grad, values.grad]


@quick
@given(seeds, shapes, st.sampled_from(GARBAGE), st.sampled_from(MODES), st.sampled_from(LEVELS))
def test_what_is_masked_never_matters(seed: int, shape: Any, garbage: float, mode: str, level: str) -> None:
    batch = Batch(seed, shape)
    clean, dirty = (value_and_gradients(b, mode, level) for b in (batch, batch.spoilt(garbage)))
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)
        assert torch.isfinite(a).all()
    assert not clean[1][~batch.mask].any()


@quick
@given(seeds, shapes, st.sampled_from(GARBAGE))
def test_what_is_masked_never_matters_to_metrics_and_data(seed: int, shape: Any, garbage: float) -> None:
    def numbers(batch: Batch) -> list[Tensor]:
        mask, old, values = batch.mask, batch.old, batch.values
        raw = keep_counted(values - old, mask)
        clips: dict[str, float] = {"clip_low": 0.1, "clip_high": 0.1, "dual_clip": 2.0}
        return [
            token_rewards(batch.scores, batch.rewards, mask, kl_coef=0.1),
            whiten(values, mask),
            whiten(values, mask, shift_mean=False),
            masked_mean(values, mask),
            sampler_mismatch(values, old, mask),
            explained_variance(values, old, mask),
            value_clip_fraction(values, old, mask, old_values=batch.old_values, clip=0.2),
            *clip_fractions(raw, batch.rewards, mask, **clips),
        ]

    batch = Batch(seed, shape)
    for a, b in zip(numbers(batch), numbers(batch.spoilt(garbage)), strict=True):
        assert torch.equal(a, b)
        assert torch.isfinite(a).all()


@quick
@given(seeds, shapes, st.sampled_from(MODES), st.sampled_from(LEVELS), st.data())
def test_micro_batches_change_nothing(seed: int, shape: Any, mode: str, level: str, data: Any) -> None:
    batch = Batch(seed, shape)
    cuts = sorted(data.draw(st.sets(st.integers(1, shape[0] - 1)))) if shape[0] > 1 else []
    edges = [0, *cuts, shape[0]]
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    whole, split = (value_and_gradients(batch, mode, level, p) for p in (None, parts))
    for a, b in zip(whole, split, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@quick
@given(seeds, shapes, st.sampled_from(MODES), st.sampled_from(LEVELS))
def test_order_and_padding_change_nothing(seed: int, shape: Any, mode: str, level: str) -> None:
    batch = Batch(seed, shape)
    loss, by_logits, by_values = value_and_gradients(batch, mode, level)
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(seed))
    moved = value_and_gradients(batch.rows(order), mode, level)
    torch.testing.assert_close(moved[0], loss)
    torch.testing.assert_close(moved[1], by_logits[order])
    padded = object.__new__(Batch)
    for name, x in vars(batch).items():
        if name != "scores":
            left, right = (torch.zeros(x.shape[0], n, *x.shape[2:], dtype=x.dtype) for n in (2, 3))
            x = torch.cat([left, x, right], dim=1)
        setattr(padded, name, x)
    wide = value_and_gradients(padded, mode, level)
    torch.testing.assert_close(wide[0], loss)
    torch.testing.assert_close(wide[1][:, 2:-3], by_logits)
    torch.testing.assert_close(wide[2][:, 2:-3], by_values)


@quick
@given(seeds, shapes)
def test_a_batch_is_its_rows(seed: int, shape: Any) -> None:
    batch = Batch(seed, shape)

    def numbers(b: Batch) -> list[Tensor]:
        advantages = generalized_advantages(b.rewards, b.values, b.mask, gamma=0.9, horizon=4)
        levels = [log_ratio(b.values, b.old, b.mask, level=level) for level in LEVELS]
        return [advantages, *levels, token_logprobs(b.logits, b.ids), entropy(b.logits)]

    rows = [numbers(batch.rows(slice(r, r + 1))) for r in range(shape[0])]
    for together, *alone in zip(numbers(batch), *rows, strict=True):
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-13)


@quick
@given(seeds, st.integers(1, 30), st.sampled_from((torch.float32, torch.float64)))
def test_group_advantages_move_with_their_rows_to_the_bit(seed: int, size: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randn(size, generator=generator, dtype=dtype)
    rewards[torch.rand(size, generator=generator) < 0.2] = math.nan
    ids = torch.randint(-3, 3, (size,), generator=generator)
    order = torch.randperm(size, generator=generator)
    for function in (group_relative_advantages, leave_one_out_advantages):
        advantages = function(rewards, ids)
        assert advantages.dtype == dtype
        assert torch.equal(function(rewards[order], ids[order]), advantages[order])
        assert torch.equal(function(rewards, ids * 1000 + 7), advantages)
        for one in ids.unique():
            assert torch.equal(function(rewards[ids == one], ids[ids == one]), advantages[ids == one])
            assert abs(advantages[ids == one].sum().item()) < 1e-4


@quick
@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 40))
def test_equal_rewards_give_exactly_zero(reward: float, size: int) -> None:
    rewards = torch.full((size,), reward)
    ids = torch.zeros(size, dtype=torch.long)
    for advantages in (
        group_relative_advantages(rewards, ids),
        group_relative_advantages(rewards, ids, epsilon=1e-8),
        group_relative_advantages(rewards, ids, scale="none"),
        leave_one_out_advantages(rewards, ids),
    ):
        assert torch.equal(advantages, torch.zeros(size))


@quick
@given(seeds, shapes, st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_whitening_does_not_see_how_the_batch_is_spread(seed: int, shape: Any, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(size, shape[1], generator=generator, dtype=torch.float64) + 100 for size in sizes]
    masks = [torch.rand(part.shape, generator=generator) < 0.7 for part in parts]
    moments = combine_moments([masked_moments(p, m) for p, m in zip(parts, masks, strict=True)])
    spread = torch.cat([whiten(p, m, moments=moments) for p, m in zip(parts, masks, strict=True)])
    together = whiten(torch.cat(parts), torch.cat(masks))
    torch.testing.assert_close(spread, together, rtol=1e-8, atol=1e-8)


@quick
@given(seeds, st.integers(1, 6), st.floats(-50, 50))
def test_preferences_see_differences_only(seed: int, size: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randn(size, generator=generator, dtype=torch.float64)
    ranks = torch.randint(0, 3, (size,), generator=generator)
    order = torch.randperm(size, generator=generator)
    for kind in ("pairs", "plackett_luce"):
        loss = ranking_loss(rewards, ranks, kind=kind)
        torch.testing.assert_close(ranking_loss(rewards + shift, ranks, kind=kind), loss)
        torch.testing.assert_close(ranking_loss(rewards[order], ranks[order], kind=kind), loss)
        torch.testing.assert_close(ranking_loss(rewards, ranks * 10 - 5, kind=kind), loss)
    swapped = pairwise_loss(rewards, rewards.flip(0)) - pairwise_loss(rewards.flip(0), rewards)
    torch.testing.assert_close(swapped, rewards.flip(0) - rewards)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_with_nothing_counted_still_has_a_graph(mode: Any) -> None:
    x = torch.full((2, 3), math.nan, requires_grad=True)
    loss_sum, units = aggregate(x, torch.zeros(2, 3).bool(), mode=mode, max_length=3)
    loss_sum.backward()
    assert loss_sum.item() == 0.0
    assert units.item() == (2 if mode in ("sequence_sum", "constant") else 0)
    assert x.grad is not None
    assert not x.grad.any()
