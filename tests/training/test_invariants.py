import dataclasses
import math
import warnings

import pytest
import torch
from tests.training.made_batches import made_batch, made_tokens

from posttrain.errors import InvariantError
from posttrain.training.invariants import (
    check_finite,
    check_first_ratio,
    check_policy_batch,
    check_policy_versions,
    check_reference_kl_is_zero,
    check_replicas_equal,
    check_sampler_mismatch,
    fingerprint,
)
from posttrain.types import Prompt, Rollout


@pytest.mark.parametrize(
    ("dtype", "retries", "allowed", "refused"),
    [
        (torch.float32, 0.0, 0.0, 1e-7),
        (torch.bfloat16, 0.0, 1e-3, 2e-3),
        (torch.float32, 1.0, 1e-4, 1e-2),
        (torch.float32, 0.0, 0.0, math.nan),
    ],
)
def test_the_first_ratio(dtype, retries, allowed, refused):
    check_first_ratio({"ratio_deviation": allowed, "microbatch_retries": retries}, dtype)
    with pytest.raises(InvariantError, match=r"off 1 by.*temperature"):
        check_first_ratio({"ratio_deviation": refused, "microbatch_retries": retries}, dtype)


def test_a_step_in_which_nothing_counted_has_no_ratio():
    check_first_ratio({}, torch.float32)


def test_reference_kl():
    check_reference_kl_is_zero(1e-8)
    for kl in (1e-3, -1e-3, math.nan):
        with pytest.raises(InvariantError, match="reference"):
            check_reference_kl_is_zero(kl)


def test_finite():
    x = torch.tensor([[1.0, math.nan], [math.inf, 2.0]])
    check_finite("x", x, torch.tensor([[True, False], [False, True]]))
    with pytest.raises(InvariantError, match=r"x has 2 values.*\[0, 1\]"):
        check_finite("x", x)


def test_policy_batch():
    tokens = made_tokens()
    good = made_batch(tokens, -torch.rand(tokens.response_mask.shape) - 1, drift=0.0)
    check_policy_batch(good)
    for name in ("advantages", "old_logprobs", "rollout_logprobs", "reference_logprobs"):
        broken = getattr(good, name).clone()
        broken[2, 10] = math.nan  # the longest row
        with pytest.raises(InvariantError, match=name):
            check_policy_batch(dataclasses.replace(good, **{name: broken}))
        broken = getattr(good, name).clone()
        broken[4, 5] = math.nan  # behind the end of a row of one token: arbitrary
        check_policy_batch(dataclasses.replace(good, **{name: broken}))
    with pytest.raises(InvariantError, match="never above 0"):
        check_policy_batch(dataclasses.replace(good, old_logprobs=good.old_logprobs + 5))
    everywhere = dataclasses.replace(tokens, response_mask=torch.ones_like(tokens.response_mask))
    with pytest.raises(InvariantError, match="behind the end"):
        check_policy_batch(dataclasses.replace(good, tokens=everywhere))


def test_policy_versions():
    def rollout(version: int) -> Rollout:
        return Rollout(Prompt("p", "?"), 0, (1,), (-1.0,), "eos", "", version)

    check_policy_versions([rollout(3), rollout(3)], policy_version=3)
    with pytest.raises(InvariantError, match=r"1 rollouts come from policy version 2.*load_weights"):
        check_policy_versions([rollout(3), rollout(2)], policy_version=3)


def test_sampler_mismatch():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_sampler_mismatch(1.04)
    with pytest.warns(UserWarning, match=r"1\.0600.*stale weights"):
        check_sampler_mismatch(1.06)
    with pytest.raises(InvariantError, match=r"stops above 1\.5"):
        check_sampler_mismatch(1.6, stop_above=1.5)
    with pytest.raises(InvariantError):
        check_sampler_mismatch(math.nan, stop_above=1.5)


def test_replicas():
    one = {"a": torch.ones(3), "b": torch.zeros(2, dtype=torch.bfloat16)}
    other = {"b": torch.zeros(2, dtype=torch.bfloat16), "a": torch.ones(3)}
    check_replicas_equal([fingerprint(one), fingerprint(other)])
    moved = other | {"a": torch.tensor([1.0, 1.0, 1.0 + 1e-7])}
    with pytest.raises(InvariantError, match=r"ranks \[1\]"):
        check_replicas_equal([fingerprint(one), fingerprint(moved)])
