"""Gradients: gradcheck in float64 of every loss, where gradients must not go, and what each KL term pulls towards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from posttrain.algorithms import (
    ReferenceHead,
    aggregate,
    center_regularizer,
    clipped_surrogate,
    entropy,
    exact_kl,
    generalized_advantages,
    importance_ratio,
    k1,
    k2,
    k3,
    log_ratio,
    masked_mean,
    pairwise_loss,
    ppo_total_loss,
    ranking_loss,
    returns,
    token_logprobs,
    token_rewards,
    token_statistics_from_hidden,
    value_loss,
    whiten,
)

B, T, V = 3, 4, 5
MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]]).bool()


def randn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


IDS = torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(1))
OLD = randn(B, T, seed=1)
ADVANTAGES = randn(B, T, seed=2)
RANKS = torch.tensor([1, 0, 1, 2])


def policy_loss(level: Any, mode: Any, dual_clip: float | None = None) -> Callable[[Tensor], Tensor]:
    def loss(difference: Tensor) -> Tensor:
        raw = log_ratio(OLD + difference, OLD, MASK, level=level)
        row = ADVANTAGES if level == "token" else ADVANTAGES[:, :1]
        surrogate = clipped_surrogate(raw, row, clip_low=0.2, clip_high=0.28, dual_clip=dual_clip)
        return aggregate(surrogate, MASK, mode=mode, max_length=7)[0]

    return loss


def head_statistics(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    found = token_statistics_from_hidden(
        hidden,
        weight,
        IDS.flatten()[:7],
        head_bias=bias,
        temperature=0.8,
        with_entropy=True,
        reference=ReferenceHead(randn(7, 2), randn(V, 2), direction="both"),
        chunk_size=3,
    )
    return torch.stack([x for x in found if x is not None])


LOSSES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "token_logprobs": (lambda z: token_logprobs(z, IDS, temperature=0.7), (randn(B, T, V),)),
    "entropy": (lambda z: entropy(z, temperature=0.7), (randn(B, T, V),)),
    "forward KL": (lambda z: exact_kl(z, randn(B, T, V, seed=9), direction="forward"), (randn(B, T, V),)),
    "reverse KL": (lambda z: exact_kl(z, randn(B, T, V, seed=9), direction="reverse"), (randn(B, T, V),)),
    "k1": (lambda lp: k1(lp, OLD), (randn(B, T),)),
    "k2": (lambda lp: k2(lp, OLD), (randn(B, T),)),
    "k3": (lambda lp: k3(lp, OLD), (randn(B, T),)),
    "pairwise": (
        lambda c, r: pairwise_loss(c, r, margin=0.3, label_smoothing=0.1),
        (randn(4), randn(4, seed=5)),
    ),
    "pairs of a ranking": (lambda r: ranking_loss(r, RANKS), (randn(4),)),
    "Plackett-Luce": (lambda r: ranking_loss(r, RANKS, kind="plackett_luce"), (randn(4),)),
    "center": (center_regularizer, (randn(4),)),
    "value": (lambda v: value_loss(v, OLD), (randn(B, T),)),
    "value clipped": (lambda v: value_loss(v, OLD, old_values=ADVANTAGES, clip=0.2), (randn(B, T),)),
    "masked mean": (lambda x: masked_mean(x, MASK), (randn(B, T),)),
    "whiten": (lambda x: whiten(x, MASK), (randn(B, T),)),
    "total": (
        lambda a, b, c, d: ppo_total_loss(
            a, entropy=b, kl=c, value_loss=d, entropy_coef=0.1, kl_coef=0.2, value_coef=0.3
        ),
        tuple(randn(2, seed=s) for s in range(4)),
    ),
    "statistics from hidden": (head_statistics, (randn(7, 3), randn(V, 3), randn(V))),
    "policy, dual clip": (policy_loss("token", "token", 1.5), (randn(B, T, scale=0.9),)),
}
for mode in ("token", "sequence", "sequence_sum", "constant"):
    for level in ("token", "sequence", "sequence_mean"):
        LOSSES[f"policy, {level} ratio, {mode} aggregation"] = (
            policy_loss(level, mode),
            (randn(B, T, scale=0.3),),
        )


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name: str) -> None:
    function, inputs = LOSSES[name]
    assert torch.autograd.gradcheck(function, [x.clone().requires_grad_() for x in inputs])


def test_data_gets_no_gradient() -> None:
    policy = randn(B, T).requires_grad_()
    data = [randn(B, T, seed=s).requires_grad_() for s in range(5)]
    old, advantages, reference, targets, values = data
    raw = log_ratio(policy, old, MASK, level="token")
    loss = clipped_surrogate(raw, advantages, clip_low=0.2, clip_high=0.2)
    total = loss + k3(policy, reference) + value_loss(policy, targets, old_values=values, clip=0.1)
    logits = randn(B, T, V).requires_grad_()
    total = total + exact_kl(policy.unsqueeze(-1).expand(B, T, V), logits, direction="reverse")
    total.sum().backward()
    assert policy.grad is not None
    assert [x.grad for x in [*data, logits]] == [None] * 6
    assert not generalized_advantages(old, values, MASK).requires_grad
    assert not returns(advantages, values, MASK).requires_grad
    assert not token_rewards(values[:, 0], k1(policy, old), MASK, kl_coef=0.1).requires_grad


def test_reference_and_frozen_head_get_no_gradient() -> None:
    hidden, weight = randn(6, 3).requires_grad_(), randn(V, 3)
    reference = ReferenceHead(randn(6, 3, seed=4).requires_grad_(), randn(V, 3, seed=4).requires_grad_())
    found = token_statistics_from_hidden(hidden, weight, IDS.flatten()[:6], reference=reference)
    assert found.reverse_kl is not None
    (found.logprobs + found.reverse_kl).sum().backward()
    assert hidden.grad is not None
    assert reference.hidden.grad is None
    assert reference.weight.grad is None


def expected_gradient(
    per_token: Callable[[Tensor, Tensor], Tensor], logits: Tensor, reference: Tensor
) -> Tensor:
    """The gradient on policy of a loss on the sampled token: sum_v p_v grad loss(v), p not differentiated."""
    logits = logits.clone().requires_grad_()
    logp = torch.log_softmax(logits, -1)
    loss = (logp.exp().detach() * per_token(logp, reference)).sum()
    return torch.autograd.grad(loss, logits)[0]


def test_what_each_kl_estimator_pulls_towards_as_a_loss() -> None:
    logits, reference = randn(6), torch.log_softmax(randn(6, seed=3), -1)
    free = logits.clone().requires_grad_()
    reverse = torch.autograd.grad(exact_kl(free, reference, direction="reverse"), free)[0]
    forward = torch.autograd.grad(exact_kl(free, reference, direction="forward"), free)[0]
    torch.testing.assert_close(expected_gradient(k1, logits, reference), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(expected_gradient(k2, logits, reference), reverse)
    torch.testing.assert_close(expected_gradient(k3, logits, reference), forward)
    torch.testing.assert_close(forward, logits.softmax(-1) - reference.exp())

    def k1_as_reward(logp: Tensor, ref: Tensor) -> Tensor:
        return importance_ratio(logp - logp.detach()) * k1(logp, ref).detach()

    torch.testing.assert_close(expected_gradient(k1_as_reward, logits, reference), reverse)


def test_off_policy_kl_needs_the_importance_weight() -> None:
    old, policy, reference = (torch.log_softmax(randn(6, seed=s), -1) for s in range(3))
    exact = exact_kl(policy, reference, direction="reverse")
    weighted = (old.exp() * importance_ratio(policy - old) * k3(policy, reference)).sum()
    torch.testing.assert_close(weighted, exact)
    assert not torch.allclose((old.exp() * k3(policy, reference)).sum(), exact)


def test_sampled_surprise_is_no_entropy_bonus() -> None:
    gradient = expected_gradient(lambda logp, _: -logp, randn(6), randn(6))
    torch.testing.assert_close(gradient, torch.zeros(6, dtype=torch.float64))


def test_kl_is_exactly_zero_and_flat_at_the_reference() -> None:
    logits = randn(B, T, V).float().requires_grad_()
    logprobs = torch.log_softmax(logits, -1)
    for direction in ("forward", "reverse"):
        assert not exact_kl(logits, logits.detach(), direction=direction).any()
    for estimator in (k1, k2, k3):
        assert not estimator(logprobs, logprobs).any()


def test_huge_log_ratios_give_finite_losses_and_gradients() -> None:
    raw = torch.tensor([[100.0, -100.0, 1e30, -1e30, 19.0]], requires_grad=True)
    for sign in (1.0, -1.0):
        loss = clipped_surrogate(raw, torch.full((1, 5), sign), clip_low=0.2, clip_high=0.2)
        gradient = torch.autograd.grad(loss.sum(), raw)[0]
        assert torch.isfinite(loss).all()
        assert torch.isfinite(gradient).all()


def test_impossible_ids_have_no_gradient_and_no_nan() -> None:
    logits = randn(2, 3, V)
    logits[..., -1] = -torch.inf
    other = randn(2, 3, V, seed=1)
    other[..., -1] = -torch.inf
    for function in (
        lambda z: entropy(z),
        lambda z: exact_kl(z, other, direction="forward"),
        lambda z: exact_kl(z, other, direction="reverse"),
    ):
        free = logits.clone().requires_grad_()
        out = function(free)
        gradient = torch.autograd.grad(out.sum(), free)[0]
        assert torch.isfinite(out).all()
        assert torch.isfinite(gradient).all()
        assert not gradient[..., -1].any()
    wider = randn(2, 3, V, seed=1)
    assert torch.isinf(exact_kl(logits, wider, direction="forward")).all()
