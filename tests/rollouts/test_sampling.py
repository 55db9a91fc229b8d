"""Sampling on logits: the right distribution, exact logprobs, and the edges."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.rollouts.made_prompts import sampling

from posttrain.rollouts.sampling import draw, truncated, uniforms

NEARLY_ONE = 1.0 - 2.0**-53


def row(*values) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


def drawn(logits, number, **changes):
    found = draw(logits, torch.tensor([number], dtype=torch.float64), sampling(**changes))
    return int(found.token_ids[0]), float(found.logprobs[0])


def kept(scores, **cuts) -> list[int]:
    return torch.isfinite(truncated(scores, **cuts))[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("vocabulary", [5, 256, 1000])
def test_frequencies_pass_chi_square(vocabulary):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(1, vocabulary, generator=generator) * 1.5
    num_draws = 40 * vocabulary + 20_000
    numbers = torch.rand(num_draws, dtype=torch.float64, generator=generator)
    counts = torch.zeros(vocabulary)
    for part in numbers.split(4000):
        found = draw(logits.expand(len(part), -1), part, sampling(temperature=0.7))
        counts += torch.bincount(found.token_ids, minlength=vocabulary)
    expected = torch.softmax(logits[0].double() / 0.7, -1) * num_draws
    common = expected >= 5
    observed = torch.cat([counts[common].double(), counts[~common].sum(0, keepdim=True).double()])
    wanted = torch.cat([expected[common], expected[~common].sum(0, keepdim=True)]).clamp(min=1e-9)
    chi_square = float(((observed - wanted) ** 2 / wanted)[wanted > 1].sum())
    freedom = int((wanted > 1).sum()) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("vocabulary", [3, 255, 256, 257, 5000])
@pytest.mark.parametrize("temperature", [0.01, 0.7, 1.0, 100.0])
def test_it_is_the_inverse_of_the_cumulative_distribution(vocabulary, temperature):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = torch.randn(64, vocabulary, generator=generator) * 3
    numbers = torch.rand(64, dtype=torch.float64, generator=generator)
    found = draw(logits, numbers, sampling(temperature=temperature))
    logprobs = torch.log_softmax((logits / temperature).double(), -1)
    cumulative = logprobs.exp().cumsum(-1)
    chosen = found.token_ids[:, None]
    assert (cumulative.gather(1, chosen)[:, 0] >= numbers - 1e-6).all()
    before = cumulative.gather(1, chosen)[:, 0] - logprobs.exp().gather(1, chosen)[:, 0]
    assert (before <= numbers + 1e-6).all()
    exact = logprobs.gather(1, chosen)[:, 0]
    assert (found.logprobs - exact).abs().max() <= 1e-5 * max(1.0, float(exact.abs().max()) / 10)


def test_the_ends_of_the_unit_interval_meet_possible_tokens_only():
    scores = row(-torch.inf, -torch.inf, 1.0, 2.0, -torch.inf)
    assert drawn(scores, 0.0)[0] == 2
    assert drawn(scores, NEARLY_ONE)[0] == 3
    wide = torch.full((1, 1000), -torch.inf)
    wide[0, [300, 700]] = 0.0
    assert drawn(wide, 0.0) == (300, pytest.approx(-np.log(2)))
    assert drawn(wide, NEARLY_ONE)[0] == 700


@given(
    st.lists(st.floats(-200, 200) | st.just(-float("inf")), min_size=1, max_size=600),
    st.floats(0, NEARLY_ONE),
)
@settings(max_examples=200, deadline=None)
def test_no_impossible_token_is_ever_drawn(values, number):
    if all(value == -float("inf") for value in values):
        values[0] = 0.0
    token, logprob = drawn(row(*values), number)
    assert values[token] > -float("inf")
    assert np.isfinite(logprob)
    assert logprob <= 1e-6


def test_one_possible_token_has_probability_one():
    for number in (0.0, 0.5, NEARLY_ONE):
        assert drawn(row(-torch.inf, 3.0, -torch.inf), number) == (1, 0.0)
        assert drawn(row(5.0), number) == (0, 0.0)


def test_temperatures_at_both_ends():
    scores = row(1.0, 2.0, 1.5)
    for number in (0.0, 0.3, NEARLY_ONE):
        assert drawn(scores, number, temperature=1e-3) == (1, pytest.approx(0.0, abs=1e-6))
    assert drawn(scores, 0.5, temperature=1e6) == (1, pytest.approx(-np.log(3), abs=1e-4))


def test_greedy_takes_the_first_best_with_its_logprob_at_temperature_one():
    scores = row(1.0, 3.0, 3.0)
    expected = float(torch.log_softmax(scores, -1)[0, 1])
    for number in (0.0, NEARLY_ONE):
        assert drawn(scores, number, temperature=0.0, top_k=1) == (1, pytest.approx(expected))


def test_a_row_that_is_no_distribution_has_a_nan_logprob():
    for bad in (row(float("nan"), 1.0), row(float("inf"), 1.0), row(-torch.inf, -torch.inf)):
        token, logprob = drawn(bad, 0.5)
        assert np.isnan(logprob)
        assert 0 <= token < 2


def test_half_precision_logits_are_read_in_float32():
    logits = torch.randn(8, 300, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = draw(logits, torch.full((8,), 0.4, dtype=torch.float64), sampling())
    exact = torch.log_softmax(logits.double(), -1).gather(1, found.token_ids[:, None])[:, 0]
    assert found.logprobs.dtype == torch.float32
    assert (found.logprobs - exact).abs().max() <= 1e-5


def test_top_k():
    scores = row(1.0, 4.0, 3.0, 2.0)
    assert kept(scores, top_k=2) == [1, 2]
    assert kept(scores, top_k=1) == [1]
    assert kept(scores, top_k=4) == kept(scores, top_k=99) == kept(scores, top_k=0) == [0, 1, 2, 3]
    assert kept(row(2.0, 3.0, 2.0, 1.0), top_k=2) == [0, 1, 2]  # equal to the last one kept


def test_top_p():
    scores = torch.log(row(0.5, 0.25, 0.15, 0.1))
    assert kept(scores, top_p=0.4) == [0]
    assert kept(scores, top_p=0.6) == [0, 1]
    assert kept(scores, top_p=0.8) == [0, 1, 2]
    assert kept(scores, top_p=1.0) == [0, 1, 2, 3]
    assert kept(scores, top_p=1e-9) == [0]
    assert kept(torch.log(row(0.4, 0.2, 0.2, 0.2)), top_p=0.5) == [0, 1, 2, 3]  # ties stay together


def test_top_p_looks_beyond_its_candidates_in_a_flat_distribution():
    assert len(kept(torch.zeros(1, 5000), top_p=0.5)) == 5000
    scores = torch.linspace(0, 1e-3, 5000)[None]
    assert len(kept(scores, top_p=0.5)) == pytest.approx(2500, abs=2)


def test_min_p():
    scores = torch.log(row(0.5, 0.3, 0.15, 0.05))
    assert kept(scores, min_p=0.2) == [0, 1, 2]
    assert kept(scores, min_p=1.0) == [0]
    assert kept(scores, min_p=0.0) == [0, 1, 2, 3]


def test_each_cut_looks_at_what_the_one_before_left():
    scores = torch.log(row(0.4, 0.3, 0.2, 0.1))
    # of the two that top-k leaves, the first alone holds 4/7
    assert kept(scores, top_k=2, top_p=0.5) == [0]
    assert kept(scores, top_p=0.5) == [0, 1]


def test_what_is_left_is_renormalised():
    scores = torch.log(row(0.4, 0.3, 0.2, 0.1))
    assert drawn(scores, 0.0, top_k=2) == (0, pytest.approx(np.log(4 / 7), abs=1e-6))
    assert drawn(scores, NEARLY_ONE, top_k=2) == (1, pytest.approx(np.log(3 / 7), abs=1e-6))


def test_streams_are_named_by_seed_step_group_and_sample():
    base = uniforms(sampling(), "p@0", 0)
    assert np.array_equal(base, uniforms(sampling(), "p@0", 0))
    assert np.array_equal(base[:5], uniforms(sampling(max_new_tokens=5), "p@0", 0))
    others = [
        uniforms(sampling(seed=1), "p@0", 0),
        uniforms(sampling(step=1), "p@0", 0),
        uniforms(sampling(), "p@1", 0),
        uniforms(sampling(), "p@0", 1),
    ]
    assert len({tuple(x) for x in [base, *others]}) == 5
    assert ((base >= 0) & (base < 1)).all()


def test_the_streams_numbers_never_change():
    """A resumed run draws what the interrupted one would have: these numbers are part of the format."""
    found = uniforms(sampling(seed=1, step=2, max_new_tokens=2), "sums/17@0", 3)
    assert found.tolist() == pytest.approx(FIRST_NUMBERS, abs=0)


FIRST_NUMBERS = [0.9945338098346195, 0.33017279960504287]
