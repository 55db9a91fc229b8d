import dataclasses
import functools
import gc
import math
import tracemalloc

import pytest
import torch
from tests.training.made_batches import LENGTHS, made_batch, made_learner, made_tokens, weights

from posttrain.errors import ConfigError, InvariantError
from posttrain.training import (
    Learner,
    LearningRateSchedule,
    OptimizerSettings,
    PolicyGradient,
    plan_minibatches,
)
from posttrain.training.invariants import check_first_ratio

AGGREGATIONS = ("token", "sequence", "sequence_sum", "constant")
SPLITS = {"1x8": 8 * 16, "2x4": 4 * 16, "8x1": 1, "ragged": 34}


def objective(**changes) -> PolicyGradient:
    plain = {"clip_low": 0.2, "clip_high": 0.2, "temperature": 0.8, "max_response_length": 20}
    return PolicyGradient(**plain | changes)


def equal_lengths() -> list[tuple[int, int]]:
    return [(5, 11)] * 8


def one_update(budget: int, goal: PolicyGradient, *, lengths=None, dtype=torch.float64, **settings):
    learner = made_learner(dtype=dtype, microbatch_tokens=budget, **settings)
    tokens = made_tokens(lengths=lengths)
    reference = made_learner(dtype=dtype, microbatch_tokens=128)
    old = reference.logprobs(tokens, 0.8)
    metrics = learner.update(made_batch(tokens, old), goal)
    return weights(learner), metrics


# --- one step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_parameters_after_a_step_do_not_depend_on_the_microbatches(aggregation, dtype, tolerance):
    goal = objective(aggregation=aggregation, kl_coef=0.1, kl="k2", entropy_coef=0.05)
    # epsilon: Adam's first step is lr * sign(g), which would blow up rounding where a gradient is 0
    for lengths in (equal_lengths(), LENGTHS):
        found = {}
        for name, budget in SPLITS.items():
            learner = made_learner(dtype=dtype, microbatch_tokens=budget, lr=1e-4)
            learner.optimizer._adam.param_groups[0]["eps"] = 1e-2
            tokens = made_tokens(lengths=lengths)
            old = made_learner(dtype=dtype, microbatch_tokens=128).logprobs(tokens, 0.8)
            metrics = learner.update(made_batch(tokens, old), goal)
            found[name] = (weights(learner), metrics)
        if lengths == equal_lengths():
            assert [metrics["microbatches"] for _, metrics in found.values()] == [1, 2, 8, 4]
        first_weights, first_metrics = found["1x8"]
        for split_weights, metrics in found.values():
            for name, tensor in first_weights.items():
                torch.testing.assert_close(split_weights[name], tensor, atol=tolerance, rtol=0)
            for name in (
                "loss",
                "clip_loss",
                "kl_loss",
                "entropy_bonus",
                "grad_norm",
                "approx_kl",
                "ratio_mean",
            ):
                assert metrics[name] == pytest.approx(
                    first_metrics[name], rel=1e-3 * tolerance**0.5, abs=tolerance
                )


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_trainable_tensor_changes_and_no_frozen_one(kind):
    learner = made_learner(kind)
    model = learner.language_model.model
    frozen = {name for name, _ in model.named_parameters() if "0." in name}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    learner = Learner(learner.language_model, learner.optimizer.settings, microbatch_tokens=64)
    tokens, before = made_tokens(), weights(learner)
    # Tokens up to 250 of gpt2's 256 positions do not occur, but its position table is one tensor.
    learner.update(made_batch(tokens, learner.logprobs(tokens, 0.8)), objective())
    changed = {name for name, tensor in weights(learner).items() if not torch.equal(tensor, before[name])}
    assert changed == set(before) - frozen
    assert frozen


def test_gradient_clipping_does_not_depend_on_the_split():
    found = [
        one_update(budget, objective(), max_grad_norm=1e-3)[1]["grad_norm"] for budget in SPLITS.values()
    ]
    assert found == pytest.approx([found[0]] * 4, rel=1e-12)
    assert found[0] > 1e-3


def test_the_kl_coefficient_changes_the_gradient():
    for kind in ("k2", "k3"):
        norms = [one_update(64, objective(kl_coef=coef, kl=kind))[1]["grad_norm"] for coef in (0.0, 0.5, 1.0)]
        assert len({round(norm, 9) for norm in norms}) == 3


def test_rows_without_counted_tokens_are_units_but_not_computed():
    tokens = made_tokens()
    mask = tokens.response_mask.clone()
    mask[[0, 2, 5]] = False
    tokens = dataclasses.replace(tokens, response_mask=mask)
    learner = made_learner(microbatch_tokens=1)
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    assert learner.update(batch, objective(aggregation="sequence"))["units"] == 5
    metrics = learner.update(batch, objective(aggregation="sequence_sum"))
    assert (metrics["units"], metrics["microbatches"]) == (8, 5)


def test_a_batch_with_nothing_to_train_on_is_skipped_and_counted():
    tokens = made_tokens()
    tokens = dataclasses.replace(tokens, response_mask=torch.zeros_like(tokens.response_mask))
    learner = made_learner()
    before = weights(learner)
    for goal in (objective(), objective(aggregation="constant")):
        metrics = learner.update(made_batch(tokens, torch.zeros(tokens.response_mask.shape)), goal)
        assert metrics["skipped"] == 1.0
    assert (learner.steps_taken, learner.skipped_steps) == (0, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(learner).items())


@dataclasses.dataclass(frozen=True)
class Spoiled:
    """An objective whose gradient is NaN while `spoil` says so."""

    inner: PolicyGradient
    spoil: list

    def num_units(self, batch):
        return self.inner.num_units(batch)

    def counted_rows(self, batch):
        return self.inner.counted_rows(batch)

    def __call__(self, model, microbatch):
        loss, metrics = self.inner(model, microbatch)
        return (loss * math.nan if self.spoil and self.spoil.pop() else loss), metrics


def test_a_step_with_a_nan_gradient_is_skipped_and_the_schedule_waits():
    learner = made_learner(
        microbatch_tokens=1000, schedule=LearningRateSchedule(1e-3, kind="linear", total_steps=10)
    )
    tokens = made_tokens()
    batch, goal = made_batch(tokens, learner.logprobs(tokens, 0.8)), objective()
    first = learner.update(batch, goal)
    before = weights(learner)
    bad = learner.update(batch, Spoiled(goal, [True]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(learner).items())
    after = learner.update(batch, goal)
    assert (first["skipped"], bad["skipped"], after["skipped"]) == (0.0, 1.0, 0.0)
    assert math.isnan(bad["grad_norm"])
    assert [m["learning_rate"] for m in (first, bad, after)] == pytest.approx([1e-3, 9e-4, 9e-4])
    assert learner.steps_taken == 2


def test_too_many_skips_in_a_row_end_the_run():
    learner = made_learner(microbatch_tokens=1000)
    learner.max_consecutive_skips = 3
    tokens = made_tokens()
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    spoil = [True, True, False, True, True]
    for _ in range(5):
        learner.update(batch, Spoiled(objective(), spoil))
    assert learner.update(batch, objective())["skipped_steps"] == 4.0  # a good step starts the count anew
    for _ in range(2):
        learner.update(batch, Spoiled(objective(), [True]))
    with pytest.raises(InvariantError, match=r"3 optimiser steps in a row.*gradient norm was nan"):
        learner.update(batch, Spoiled(objective(), [True]))


def test_a_failing_check_leaves_no_trace():
    learner = made_learner()
    tokens = made_tokens()
    batch, before = made_batch(tokens, learner.logprobs(tokens, 0.8)), weights(learner)
    with pytest.raises(InvariantError, match="off 1 by"):
        learner.update(batch, objective(), check=functools.partial(check_first_ratio, dtype=torch.float32))
    assert learner.steps_taken == 0
    assert all(p.grad is None for p in learner.language_model.model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(learner).items())


# --- logprobs and the ratio -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3", "gemma2"])
@pytest.mark.parametrize("budget", [1, 40, 1000])
def test_the_first_ratio_is_exactly_one(kind, dtype, budget):
    learner = made_learner(kind, dtype=dtype, microbatch_tokens=budget)
    tokens = made_tokens()
    minibatches = plan_minibatches(len(tokens), 2, seed=3, step=1, epoch=0)
    old = learner.logprobs(tokens, 0.8, minibatches=minibatches)
    batch = made_batch(tokens, old, drift=0.0)
    check = functools.partial(check_first_ratio, dtype=dtype)
    first = learner.update(batch.select(minibatches[0]), objective(), check=check)
    assert (first["ratio_deviation"], first["clip_fraction"], first["approx_kl"]) == (0.0, 0.0, 0.0)
    second = learner.update(batch.select(minibatches[1]), objective())
    assert second["ratio_deviation"] > 0.0  # old_logprobs stay those of the rollout: D7


def test_logprobs_are_those_of_the_model_and_zero_elsewhere():
    learner = made_learner(microbatch_tokens=20)
    tokens = made_tokens()
    mask = tokens.response_mask.clone()
    mask[3] = False
    tokens = dataclasses.replace(tokens, response_mask=mask)
    found = learner.logprobs(tokens, 0.7)
    whole = learner.language_model.logprobs(tokens, 0.7)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)
    assert not found.requires_grad
    assert bool((found[~mask] == 0).all())


def test_per_token_cuts_extras_like_the_tokens():
    learner = made_learner(microbatch_tokens=20)
    tokens = made_tokens()
    extra = torch.arange(8.0)[:, None, None] + torch.zeros(*tokens.response_mask.shape, 3)
    parts = plan_minibatches(8, 3, seed=0, step=0, epoch=0)
    found = learner.per_token(
        tokens, lambda part, x: x * part.response_mask[:, :, None], extra, minibatches=parts
    )
    assert torch.equal(found, extra * tokens.response_mask[:, :, None])


# --- memory -----------------------------------------------------------------------------------------------


class Hungry:
    """An objective that runs out of memory above a number of padded tokens."""

    def __init__(self, inner: PolicyGradient, limit: int) -> None:
        self.inner, self.limit, self.asked = inner, limit, []
        self.num_units, self.counted_rows = inner.num_units, inner.counted_rows

    def __call__(self, model, microbatch):
        self.asked.append(microbatch.tokens.token_ids.numel())
        if self.asked[-1] > self.limit and len(self.asked) > 1:  # the first micro-batch fits
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(model, microbatch)


def test_out_of_memory_halves_the_budget_and_does_the_step_again():
    tokens = made_tokens(lengths=equal_lengths())
    goal = objective()
    learner, calm = (made_learner(dtype=torch.float64, microbatch_tokens=128) for _ in range(2))
    old = learner.logprobs(tokens, 0.8)
    batch = made_batch(tokens, old)
    hungry = Hungry(goal, limit=40)
    hungry.asked.append(0)
    metrics = learner.update(batch, hungry)
    calm.microbatch_tokens = 32
    expected = calm.update(batch, goal)
    assert learner.microbatch_tokens == 32  # remembered
    assert metrics["microbatch_retries"] == 2.0
    assert metrics["loss"] == expected["loss"]
    for name, tensor in weights(calm).items():
        assert torch.equal(weights(learner)[name], tensor)  # nothing of the given-up tries is left


def test_a_row_that_never_fits_is_an_error():
    learner = made_learner(microbatch_tokens=4)
    tokens = made_tokens()
    hungry = Hungry(objective(), limit=0)
    hungry.asked.append(0)
    batch = made_batch(tokens, learner.logprobs(tokens, 0.8))
    with pytest.raises(torch.OutOfMemoryError):
        learner.update(batch, hungry)


def test_the_automatic_budget_is_a_power_of_two_from_measured_bytes(monkeypatch):
    from posttrain.training import memory

    learner = made_learner(microbatch_tokens="auto")
    tokens = made_tokens()
    learner.logprobs(tokens, 0.8)
    assert learner.microbatch_tokens == 2048  # a tiny model on any machine
    found = []
    for free in (5_000_000, 10_000_000):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        learner = made_learner(microbatch_tokens="auto")
        learner.logprobs(tokens, 0.8)
        found.append(learner.microbatch_tokens)
    assert found[0] & (found[0] - 1) == 0
    assert found[0] < found[1] < 2048
    assert learner.state_dict()[1]["microbatch_tokens"] == found[1]


def test_saved_bytes_are_what_the_layers_keep():
    from posttrain.training.memory import saved_bytes

    linear = torch.nn.Linear(10, 20)
    x = torch.randn(7, 10)
    # the input (7 x 10) for the weight, the exponential's output (7 x 20); not the weight
    assert saved_bytes(linear, lambda: linear(x).exp().sum()) == 4 * (70 + 140)


def test_bad_budgets_are_refused():
    with pytest.raises(ConfigError, match="microbatch_tokens"):
        made_learner(microbatch_tokens=0)


@pytest.mark.slow
def test_memory_does_not_grow_over_50_steps():
    learner = made_learner(microbatch_tokens=40)
    tokens = made_tokens()
    batch, goal = made_batch(tokens, learner.logprobs(tokens, 0.8)), objective(entropy_coef=0.01)

    def tensors() -> int:
        gc.collect()
        return sum(1 for found in gc.get_objects() if issubclass(type(found), torch.Tensor))

    for _ in range(5):
        learner.update(batch, goal)
    before = tensors()
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            learner.update(batch, goal)
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tensors() == before
    assert end - start < 200_000


# --- learning ---------------------------------------------------------------------------------------------


def bandit(sign: float, *, steps: int = 30, dtype: torch.dtype = torch.float32) -> tuple[float, float]:
    """p(target) before and after training on reward = sign * (first token == target), GRPO's advantages."""
    from posttrain.algorithms.grpo import group_relative_advantages
    from posttrain.batches import PolicyBatch, TokenBatch

    learner = made_learner(
        dtype=dtype, lr=1e-2, microbatch_tokens=1000, vocab_size=8, bos_token_id=1, eos_token_id=2
    )
    generator = torch.Generator().manual_seed(0)
    prompt, target, rows = torch.tensor([3, 4]), 6, 64
    goal = objective(temperature=1.0)

    def chance() -> float:
        one = TokenBatch(
            torch.tensor([[3, 4, target]]), torch.tensor([2]), torch.tensor([1]), torch.tensor([[True]])
        )
        return float(learner.logprobs(one, 1.0).exp())

    def step() -> None:
        with torch.no_grad():
            logits = learner.language_model.model(prompt[None]).logits[0, -1]
        sampled = torch.multinomial(logits.float().softmax(-1), rows, replacement=True, generator=generator)
        ids = torch.cat([prompt.expand(rows, 2), sampled[:, None]], dim=1)
        ones = torch.ones(rows, dtype=torch.long)
        tokens = TokenBatch(ids, 2 * ones, ones, torch.ones(rows, 1, dtype=torch.bool))
        rewards = sign * (sampled == target).float()
        advantages = group_relative_advantages(rewards, torch.zeros(rows, dtype=torch.long))
        old = learner.logprobs(tokens, 1.0)
        learner.update(PolicyBatch(tokens, advantages[:, None].float(), old, old), goal)

    before = chance()
    for _ in range(steps):
        step()
    return before, chance()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bandit_is_learned(dtype):
    before, after = bandit(1.0, dtype=dtype)
    assert before < 0.5
    assert after > 0.95


def test_a_negated_reward_teaches_the_opposite():
    before, after = bandit(-1.0)
    assert after < 0.5 * before


def test_settings_of_the_readme_shape():
    settings = OptimizerSettings(LearningRateSchedule(1e-6))
    assert "learning_rate=1e-06" in repr(settings)
