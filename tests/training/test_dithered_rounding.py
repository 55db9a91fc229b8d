"""Masters to bfloat16: exact on average, still on the grid, between its neighbours, and always the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.training.dithered_rounding import round_dithered_


def rounded(master: torch.Tensor, offset: int = 0) -> torch.Tensor:
    parameter = torch.empty_like(master, dtype=torch.bfloat16)
    round_dithered_(parameter, master, offset=offset)
    return parameter


def on_grid(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def test_a_master_on_the_grid_stays():
    weights = on_grid(300, 577)
    assert torch.equal(rounded(weights.float()), weights)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_share_of_weights_that_move_is_the_share_of_the_way(sign, share):
    """0.05 lies in [2^-5, 2^-4): steps of 2^-12. Nearest rounding would move all of them or none."""
    master = torch.full((1 << 17,), sign * 0.046875) + sign * share * 2.0**-12
    found = rounded(master).float()
    moved = (found != sign * 0.046875).double().mean()
    assert float(moved) == pytest.approx(share, abs=1e-4)
    assert float(found.double().mean()) == pytest.approx(float(master[0]), rel=1e-6)


def test_small_updates_reach_the_sum_of_a_row():
    """What a matrix product sees: 20 steps of 1e-5 in one direction arrive, on average over a row's weights."""
    start = 0.05 * on_grid(64, 4096)
    master = start.bfloat16().float()
    drift = 1e-5 * torch.ones_like(master)
    moved = (rounded(master + drift).float() - master).double().mean()
    nearest = ((master + drift).bfloat16().float() - master).double().mean()
    assert float(moved) == pytest.approx(1e-5, rel=0.05)
    assert abs(float(nearest) - 1e-5) > 5e-6, "the rule that this replaces loses it"


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_always_one_of_the_two_neighbours(values, offset):
    master = torch.tensor(values, dtype=torch.float32)
    found = rounded(master, offset).float()
    toward_zero = (master.view(torch.int32) & -65536).view(torch.float32)
    away = ((master.view(torch.int32) & -65536) + 65536).view(torch.float32)
    assert bool(((found == toward_zero) | (found == away)).all())
    assert torch.equal(rounded(master, offset).float(), found)


def test_odd_sizes_and_other_thresholds():
    master = torch.randn(3, (1 << 16) + 7)
    a, b = rounded(master), rounded(master, offset=1234)
    assert not torch.equal(a, b)
    for found in (a, b):
        assert float((found.float() - master).double().mean().abs()) < 3e-5
