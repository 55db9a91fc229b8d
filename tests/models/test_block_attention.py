"""Attention over blocks against a dense twin: every pair of tokens, a mask, a softmax."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.models import block_attention
from posttrain.models.block_attention import BlockPlan, Grid, parts_of_like_lengths


def dense(plan_of, query, key, value, scale):
    """By the definition: token i sees token j of its own block up to itself, and all of its prompt."""
    prompts, responses, parents = plan_of
    starts, number, position, parent = [], [], [], []
    for block, length in enumerate([*prompts, *responses]):
        starts.append(len(number))
        number += [block] * length
        position += range(length)
        parent += [-1 if block < len(prompts) else parents[block - len(prompts)]] * length
    sees = torch.tensor(
        [
            [
                (number[j] == number[i] and position[j] <= position[i]) or number[j] == parent[i]
                for j in range(len(number))
            ]
            for i in range(len(number))
        ]
    )
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    shares = scores.masked_fill(~sees, -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", shares, value)


def made(num_tokens, heads, key_heads, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_tokens, n, width, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (heads, key_heads, key_heads)
    ]


lengths = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@pytest.mark.parametrize("flash_from", [0, 10_000])  # each backward pass
@settings(max_examples=25, deadline=None)
@given(prompts=lengths, data=st.data())
def test_equals_the_dense_twin_with_gradients(flash_from, prompts, data):
    parents = data.draw(st.lists(st.integers(0, len(prompts) - 1), max_size=6))
    responses = [data.draw(st.integers(0, 6)) for _ in parents]
    heads, key_heads = data.draw(st.sampled_from([(1, 1), (4, 4), (6, 2), (3, 1)]))
    plan = BlockPlan(prompts, responses, parents)
    states = made(plan.num_tokens, heads, key_heads)
    before, block_attention._FLASH_FROM = block_attention._FLASH_FROM, flash_from
    try:
        found = plan.attend(0, *states, 0.3)
        expected = dense((prompts, responses, parents), *states, 0.3)
        torch.testing.assert_close(found, expected)
        slopes = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        ours = torch.autograd.grad(found, states, slopes)
    finally:
        block_attention._FLASH_FROM = before
    for gradient, twin in zip(ours, torch.autograd.grad(expected, states, slopes), strict=True):
        torch.testing.assert_close(gradient, twin)


def test_gradcheck():
    plan = BlockPlan([3, 2], [2, 1, 3], [0, 0, 1])
    states = made(plan.num_tokens, 4, 2, width=3)
    assert torch.autograd.gradcheck(lambda *given: plan.attend(0, *given, 0.5), states)


def test_large_scores_behind_a_rows_end_do_no_harm():
    """Cells without a token hold token 0's query: its scores with others' keys may be beyond exp's range."""
    plan = BlockPlan([9, 10, 8], [7, 8, 6, 5], [0, 1, 1, 2])
    assert any(not grid.is_full for grid in plan.causal)
    query, key, value = made(plan.num_tokens, 2, 1)
    with torch.no_grad():
        key[1:] *= 1e3
    found = plan.attend(0, query, key, value, 1.0)
    torch.testing.assert_close(found, dense(([9, 10, 8], [7, 8, 6, 5], [0, 1, 1, 2]), query, key, value, 1.0))
    gradients = torch.autograd.grad(found.sum(), (query, key, value))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_the_tiles_of_a_long_batch_are_those_of_one(monkeypatch):
    plan = BlockPlan([5] * 6, [4] * 12, [i // 2 for i in range(12)])
    states = made(plan.num_tokens, 4, 2)
    whole = torch.autograd.grad(plan.attend(0, *states, 0.3).square().sum(), states)
    monkeypatch.setattr(block_attention, "_TILE_ELEMENTS", 100)
    tiled = torch.autograd.grad(plan.attend(0, *states, 0.3).square().sum(), states)
    for a, b in zip(whole, tiled, strict=True):
        torch.testing.assert_close(a, b)


def test_bfloat16_stays_near_float64():
    plan = BlockPlan([20, 30], [12, 9, 15, 3], [0, 0, 1, 1])
    states = made(plan.num_tokens, 6, 2, width=16)
    exact = plan.attend(0, *states, 0.25)
    half = [state.detach().bfloat16().requires_grad_() for state in states]
    found = plan.attend(0, *half, 0.25)
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() < 0.05
    ours = torch.autograd.grad(found.square().sum(), half)
    theirs = torch.autograd.grad(exact.square().sum(), states)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() < 0.05 * b.norm()


def test_a_grid_gives_back_what_it_took():
    sequences = torch.split(torch.arange(9), [4, 2, 3])
    grid = Grid.of(sequences)
    x = torch.randn(9, 2, 5)
    assert torch.equal(grid.values(grid.gather(x)), x[grid.tokens])
    assert grid.gather(x).shape == (3, 2, 4, 5)
    assert torch.equal(grid.gather_or(7.0, x)[1, :, 2:], torch.full((2, 2, 5), 7.0))
    assert grid.lengths.tolist() == [4, 2, 3]


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), max_size=40))
def test_parts_waste_little_and_hold_everything_once(sizes):
    parts = parts_of_like_lengths(sizes)
    assert sorted(item for part in parts for item in part) == list(range(len(sizes)))
    for part in parts:
        for axis in range(2):
            values = [sizes[item][axis] for item in part]
            assert len(values) * max(values) <= 1.25 * sum(values)
