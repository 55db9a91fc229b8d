import dataclasses
import math

import pytest
import torch
from tests.tiny_models import tiny_language_model
from tests.training.made_batches import made_batch, made_learner, made_tokens

from posttrain.algorithms import exact_kl, token_logprobs
from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.errors import ConfigError
from posttrain.models.language_model import ResponseStatistics
from posttrain.training import PolicyGradient

T, F = True, False


@dataclasses.dataclass
class Told:
    """A model that says what it was told."""

    logprobs: torch.Tensor
    entropy: torch.Tensor | None = None
    exact_kl: torch.Tensor | None = None

    def token_statistics(self, tokens, **asked) -> ResponseStatistics:
        self.asked = asked
        return ResponseStatistics(self.logprobs, self.entropy, self.exact_kl)


def told_batch(mask, advantages, old, **others) -> PolicyBatch:
    rows, time = mask.shape
    lengths = torch.full((rows,), time)
    ids = torch.ones(rows, time + 1, dtype=torch.long)
    tokens = TokenBatch(ids, torch.ones(rows, dtype=torch.long), lengths, mask)
    return PolicyBatch(tokens, advantages, old, old, **others)


def objective(**changes) -> PolicyGradient:
    return PolicyGradient(**{"clip_low": 0.2, "clip_high": 0.2, "temperature": 1.0} | changes)


MASK = torch.tensor([[T, T, T], [T, F, F]])
RATIOS = torch.tensor([[1.5, 0.5, 1.1], [0.5, 1.0, 1.0]], dtype=torch.float64)
ADVANTAGES = torch.tensor([[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("aggregation", "loss", "units"),
    [
        # row 0: -2 * (1.2 + 0.5 + 1.1) = -5.6; row 1: +0.8
        ("token", -5.6 + 0.8, 4),
        ("sequence", -5.6 / 3 + 0.8, 2),
        ("sequence_sum", -5.6 + 0.8, 2),
        ("constant", (-5.6 + 0.8) / 10, 2),
    ],
)
def test_the_loss_by_hand(aggregation, loss, units):
    goal = objective(aggregation=aggregation, max_response_length=10)
    batch = told_batch(MASK, ADVANTAGES, torch.zeros(2, 3, dtype=torch.float64))
    assert goal.num_units(batch) == units
    found, metrics = goal(Told(RATIOS.log()), batch)
    assert float(found) == pytest.approx(loss, rel=1e-12)
    means = metrics.means()
    assert means["clip_loss"] == pytest.approx(loss / units)
    # Token 0 of row 0 is cut above (A > 0), token 0 of row 1 below (A < 0); 0.5 with A > 0 is not clipped.
    assert (means["clip_fraction_low"], means["clip_fraction_high"], means["clip_fraction"]) == (
        0.25,
        0.25,
        0.5,
    )
    assert (means["ratio_min"], means["ratio_max"]) == pytest.approx((0.5, 1.5))
    assert means["ratio_mean"] == pytest.approx((1.5 + 0.5 + 1.1 + 0.5) / 4)
    assert means["ratio_deviation"] == pytest.approx(0.5)
    logs = [math.log(r) for r in (1.5, 0.5, 1.1, 0.5)]
    assert means["approx_kl"] == pytest.approx(sum(math.exp(x) - 1 - x for x in logs) / 4)


def test_terms_have_one_denominator_and_are_logged_apart():
    policy = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, 0.0, 0.0]], dtype=torch.float64)
    entropy = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 9.0]], dtype=torch.float64)
    goal = objective(aggregation="sequence", kl_coef=0.1, kl="k2", entropy_coef=0.01)
    batch = told_batch(MASK, ADVANTAGES, policy, reference_logprobs=policy + 2.0)
    loss, metrics = goal(Told(policy, entropy=entropy), batch)
    means = metrics.means()
    clip, kl, bonus = (-2.0 + 1.0), 0.1 * (2.0 + 2.0), 0.01 * (2.0 + 4.0)
    assert float(loss) == pytest.approx(clip + kl - bonus)
    assert (means["clip_loss"], means["kl_loss"], means["entropy_bonus"]) == pytest.approx(
        (clip / 2, kl / 2, bonus / 2)
    )
    assert means["loss"] == pytest.approx(float(loss) / 2)
    assert means["reference_kl"] == pytest.approx(2.0)  # per token
    assert means["entropy"] == pytest.approx(10.0 / 4)


def test_importance_weights_act_behind_min_and_clip_and_have_no_gradient():
    logprobs = RATIOS.log().requires_grad_()
    factors = torch.full((2, 3), 3.0, dtype=torch.float64, requires_grad=True)
    old = torch.zeros(2, 3, dtype=torch.float64)
    plain, _ = objective(aggregation="token")(Told(RATIOS.log()), told_batch(MASK, ADVANTAGES, old))
    batch = told_batch(MASK, ADVANTAGES, old, importance_weights=factors)
    loss, _ = objective(aggregation="token")(Told(logprobs), batch)
    assert float(loss.detach()) == pytest.approx(3.0 * float(plain))
    loss.backward()
    assert factors.grad is None


def test_advantages_and_old_logprobs_get_no_gradient():
    logprobs, advantages, old = (x.clone().requires_grad_() for x in (RATIOS.log(), ADVANTAGES, RATIOS.log()))
    batch = told_batch(MASK, advantages, old, reference_logprobs=old - 1)
    loss, _ = objective(kl_coef=1.0)(Told(logprobs), batch)
    loss.backward()
    assert logprobs.grad is not None
    assert advantages.grad is None
    assert old.grad is None


def test_nothing_behind_the_mask_matters():
    junk = torch.where(MASK, 0.0, math.nan).double()
    logprobs = (RATIOS.log() + junk).requires_grad_()
    goal = objective(kl_coef=0.1, kl="k3", entropy_coef=0.1)
    batch = told_batch(
        MASK, ADVANTAGES + junk, junk, reference_logprobs=junk - 1.0, importance_weights=junk + 1.0
    )
    loss, metrics = goal(Told(logprobs, entropy=1.0 + junk), batch)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert all(math.isfinite(value) for value in metrics.means().values())
    assert bool(logprobs.grad.isfinite().all())
    assert bool((logprobs.grad[~MASK] == 0).all())


def test_dual_clip_is_forwarded_and_counted():
    batch = told_batch(MASK, -ADVANTAGES.abs(), torch.zeros(2, 3, dtype=torch.float64))
    ratios = torch.full((2, 3), 5.0, dtype=torch.float64)
    loss, metrics = objective(aggregation="token", dual_clip=3.0)(Told(ratios.log()), batch)
    assert float(loss) == pytest.approx(3.0 * (2.0 * 3 + 1.0))
    assert metrics.means()["clip_fraction_dual"] == 1.0


def test_exact_kl_agrees_with_whole_distributions():
    learner = made_learner(dtype=torch.float64)
    reference = tiny_language_model(seed=5, dtype=torch.float64)
    tokens = made_tokens()
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    with torch.no_grad():
        batch = dataclasses.replace(batch, reference_hidden=reference.hidden_states(tokens))
        at = tokens.predicting_positions
        logits = [
            m.model(tokens.token_ids).logits.gather(1, at[:, :, None].expand(-1, -1, m.head.weight.shape[0]))
            / 0.8
            for m in (learner.language_model, reference)
        ]
    for direction in ("forward", "reverse"):
        goal = objective(
            temperature=0.8,
            aggregation="token",
            kl_coef=1.0,
            kl=f"exact_{direction}",
            reference_head=reference.head,
        )
        _, metrics = goal(learner.language_model, batch)
        expected = exact_kl(*logits, direction=direction)[tokens.response_mask].mean()
        assert metrics.means()["reference_kl"] == pytest.approx(float(expected), rel=1e-6)


def test_the_policy_logprobs_are_at_the_sampling_temperature():
    learner = made_learner(dtype=torch.float64)
    tokens = made_tokens()
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    with torch.no_grad():
        logits = learner.language_model.model(tokens.token_ids).logits
    at = tokens.predicting_positions[:, :, None].expand(-1, -1, logits.shape[-1])
    expected = token_logprobs(logits.gather(1, at), tokens.response_ids, temperature=0.8)
    _, metrics = objective(temperature=0.8)(learner.language_model, batch)
    mean = float(expected[tokens.response_mask].mean())
    assert metrics.means()["policy_logprob"] == pytest.approx(mean, rel=1e-6)


def test_entropy_is_asked_for_only_where_it_is_used():
    batch = told_batch(MASK, ADVANTAGES, torch.zeros(2, 3, dtype=torch.float64))
    model = Told(RATIOS.log())
    objective(log_entropy=False)(model, batch)
    assert model.asked == {"temperature": 1.0, "entropy": False}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_low": -0.1}, "not negative"),
        ({"dual_clip": 1.0}, "above 1"),
        ({"temperature": 0.0}, "positive and finite"),
        ({"ratio_level": "word"}, "choose 'token'"),
        ({"aggregation": "mean"}, "choose 'token'"),
        ({"aggregation": "constant"}, "max_response_length"),
        ({"kl": "k4"}, "choose 'k1'"),
        ({"kl_coef": -1.0}, "neither is negative"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError, match=message):
        objective(**settings)


def test_a_batch_that_lacks_the_reference():
    batch = told_batch(MASK, ADVANTAGES, torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(ConfigError, match="no reference_logprobs"):
        objective(kl_coef=0.1)(Told(RATIOS.log()), batch)
    with pytest.raises(ConfigError, match="reference_hidden"):
        objective(kl_coef=0.1, kl="exact_reverse")(Told(RATIOS.log()), batch)


def test_an_objective_prints_without_tensors():
    assert "tensor" not in repr(objective(reference_head=torch.ones(3)))


@pytest.mark.parametrize("level", ["token", "sequence", "sequence_mean"])
def test_without_old_logprobs_the_policys_own_are_the_old_ones(level):
    """One update per rollout: the same loss, gradient and metrics as with a pass for the old logprobs before it."""
    found = []
    for given_old in (True, False):
        logprobs = (RATIOS.log() - 1.0).requires_grad_()
        old = logprobs.detach().clone() if given_old else None
        batch = told_batch(MASK, ADVANTAGES, RATIOS.log() - 1.1)
        batch = dataclasses.replace(batch, old_logprobs=old)
        loss, metrics = objective(ratio_level=level)(Told(logprobs), batch)
        loss.backward()
        found.append((loss.detach(), logprobs.grad, metrics.means()))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert bool(found[0][1].any())
    mismatch = found[1][2].pop("rollout_mismatch")
    assert mismatch == pytest.approx(math.exp(0.1))
    assert found[0][2] == found[1][2]
    assert found[1][2]["ratio_deviation"] == 0.0
