"""The critic's loss against plain numbers, its gradients, and the joint loss from one forward pass."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_models import tiny_language_model
from tests.training.made_batches import made_batch, made_learner, made_tokens

from posttrain.batches import PolicyValueBatch, ValueBatch
from posttrain.errors import ConfigError
from posttrain.models.scalar_model import scalar_model_of
from posttrain.models.value_head import PolicyWithValueHead
from posttrain.training import Learner, LearningRateSchedule, OptimizerSettings
from posttrain.training.objectives import PolicyGradient
from posttrain.training.value_objective import PolicyAndValue, ValueRegression

POLICY = PolicyGradient(
    clip_low=0.2, clip_high=0.2, temperature=1.0, aggregation="token", kl_coef=0.1, entropy_coef=0.01
)


class GivenValues:
    def __init__(self, values):
        self.values = values

    def state_values(self, tokens):
        return self.values


def made_value_batch(seed: int = 0) -> ValueBatch:
    tokens = made_tokens()
    generator = torch.Generator().manual_seed(seed)
    old, targets = torch.randn(2, *tokens.response_mask.shape, generator=generator, dtype=torch.float64)
    outside = ~tokens.response_mask
    return ValueBatch(
        tokens, old.masked_fill(outside, float("nan")), targets.masked_fill(outside, float("nan"))
    )


@pytest.mark.parametrize("clip", [None, 0.2])
def test_the_loss_in_plain_numbers(clip):
    batch = made_value_batch()
    mask = batch.tokens.response_mask
    values = batch.old_values + 0.5 * torch.randn(mask.shape, dtype=torch.float64)
    objective = ValueRegression(coef=0.5, clip=clip)
    loss, metrics = objective(GivenValues(values), batch)
    expected, clipped = [], 0
    columns = (x[mask].tolist() for x in (values, batch.old_values, batch.targets))
    for value, old, target in zip(*columns, strict=True):
        plain = (value - target) ** 2
        inside = (max(old - 0.2, min(value, old + 0.2)) - target) ** 2
        expected.append(plain if clip is None else max(plain, inside))
        clipped += clip is not None and inside > plain
    assert float(loss) == pytest.approx(0.5 * sum(expected))
    assert objective.num_units(batch) == len(expected)
    found = metrics.means()
    assert found["value_loss"] == pytest.approx(sum(expected) / len(expected))
    if clip is not None:
        assert found["value_clip_fraction"] == pytest.approx(clipped / len(expected))


def test_gradcheck_and_nothing_behind_a_rows_end():
    batch = made_value_batch()
    values = torch.randn(batch.tokens.response_mask.shape, dtype=torch.float64, requires_grad=True)
    objective = ValueRegression(clip=0.3)
    assert torch.autograd.gradcheck(lambda v: objective(GivenValues(v), batch)[0], values)
    (gradient,) = torch.autograd.grad(objective(GivenValues(values), batch)[0], values)
    assert not gradient[~batch.tokens.response_mask].any()


def test_wrong_settings():
    with pytest.raises(ConfigError, match="positive"):
        ValueRegression(clip=0.0)
    with pytest.raises(ConfigError, match="common unit"):
        PolicyAndValue(PolicyGradient(clip_low=0.2, clip_high=0.2, temperature=1.0), ValueRegression())


@pytest.mark.parametrize("budget", [40, 1000])
def test_an_own_critic_does_not_depend_on_the_split(budget):
    tokens = made_tokens()
    norms = []
    for microbatch_tokens in (budget, 64):
        critic = scalar_model_of(tiny_language_model(), head="normal")
        learner = Learner(
            critic,
            OptimizerSettings(LearningRateSchedule(1e-3), max_grad_norm=None),
            microbatch_tokens=microbatch_tokens,
        )
        values = learner.per_token(tokens, critic.values_without_graph)
        targets = torch.randn(values.shape, generator=torch.Generator().manual_seed(3))
        found = learner.update(ValueBatch(tokens, values, targets), ValueRegression(clip=0.2))
        assert found["value_clip_fraction"] == 0.0, (
            "before the first step the values are the old ones, to the bit"
        )
        norms.append(found["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_one_forward_pass_gives_the_sum_of_both_losses_and_gradients():
    policy = tiny_language_model(dtype=torch.float64)
    both = PolicyWithValueHead(policy)
    both.head.double()
    torch.nn.init.normal_(both.head.weight)
    tokens = made_tokens()
    old = policy.logprobs(tokens, 1.0)
    batch = made_batch(tokens, old)
    values = both.values_without_graph(tokens)
    targets = values + 1.0
    value_batch = ValueBatch(tokens, values, targets)
    regression = ValueRegression(coef=0.3)
    parameters = [*policy.model.parameters(), both.head.weight]

    def gradients(loss):
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    whole, metrics = PolicyAndValue(POLICY, regression)(both, PolicyValueBatch(batch, value_batch))
    found = gradients(whole)
    policy_loss, _ = POLICY(policy, batch)
    value_loss, _ = regression(both, value_batch)
    assert whole.item() == pytest.approx((policy_loss + value_loss).item())
    expected = zip(gradients(policy_loss), gradients(value_loss), strict=True)
    for one, (a, b) in zip(found, expected, strict=True):
        both_parts = sum(x for x in (a, b) if x is not None)
        torch.testing.assert_close(one, both_parts, rtol=1e-4, atol=1e-4)  # norms compute in float32
    means = metrics.means()
    tokens_counted = float(tokens.response_mask.sum())
    assert means["loss"] == pytest.approx(whole.item() / tokens_counted)
    assert means["value_loss"] == pytest.approx(1.0)


def test_the_head_has_a_learning_rate_of_its_own():
    """AdamW's first step moves a weight by the learning rate, whatever its gradient."""
    both = PolicyWithValueHead(tiny_language_model())
    settings = OptimizerSettings(
        LearningRateSchedule(1e-4), schedules_by_prefix={"value_head": LearningRateSchedule(1e-2)}
    )
    learner = Learner(both, settings, microbatch_tokens=64)
    tokens = made_tokens()
    old = learner.logprobs(tokens, 1.0)
    values = learner.per_token(tokens, both.values_without_graph)
    batch = PolicyValueBatch(
        made_batch(tokens, old, drift=0.0), ValueBatch(tokens, values, torch.ones_like(values))
    )
    before = {name: p.detach().clone() for name, p in both.model.named_parameters()}
    found = learner.update(batch, PolicyAndValue(POLICY, ValueRegression()))
    assert found["ratio_deviation"] == 0.0
    assert found["learning_rate"] == 1e-4
    moved = {n: (p - before[n]).abs().max().item() for n, p in both.model.named_parameters()}
    assert moved.pop("value_head.weight") == pytest.approx(1e-2, rel=1e-3)
    assert max(moved.values()) == pytest.approx(1e-4, rel=1e-2)


def test_a_plain_learner_is_not_touched_by_prefixes():
    assert made_learner().optimizer.settings.schedule_of("any") is not None
    with_other = OptimizerSettings(
        LearningRateSchedule(1.0), schedules_by_prefix={"b.": LearningRateSchedule(2.0)}
    )
    assert with_other.schedule_of("a.weight").learning_rate == 1.0
    assert with_other.schedule_of("b.weight").learning_rate == 2.0
