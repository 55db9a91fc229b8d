"""The rule is followed, and the noise is what is stated: counted over thousands of judgements."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.preferences import SampledPrompt, ScriptedAnnotator, ranks_of_scores


def sample(number: int, num_responses: int = 4) -> SampledPrompt:
    responses = tuple(f"response {index}" for index in range(num_responses))
    return SampledPrompt(f"q/{number}", "question", responses, ("eos",) * num_responses, num_responses)


def test_the_example():
    assert ranks_of_scores([0.5, 2.0, 0.5]) == (1, 0, 1)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=8))
def test_ranks_say_what_the_scores_say(scores):
    ranks = ranks_of_scores(scores)
    assert min(ranks) == 0
    assert set(ranks) == set(range(max(ranks) + 1))
    for i, j in combinations(range(len(scores)), 2):
        assert (ranks[i] < ranks[j]) == (scores[i] > scores[j])
        assert (ranks[i] == ranks[j]) == (scores[i] == scores[j])


def test_without_noise_the_rule_is_followed_and_ties_stay():
    ranking = ScriptedAnnotator("anna", weight=2.0).rank(sample(1), [0.0, 1.0, 1.0, -3.0])
    assert ranking.ranks == (1, 0, 0, 2)
    assert (ranking.ranking_id, ranking.annotator, ranking.weight) == ("q/1/anna", "anna", 2.0)
    assert ranking.responses == sample(1).responses


@pytest.mark.parametrize("noise_rate", [0.0, 0.1, 0.5, 1.0])
def test_a_pair_is_right_with_probability_one_minus_half_the_noise(noise_rate):
    annotator, num_prompts = ScriptedAnnotator("noisy", noise_rate), 4000
    scores, right = [3.0, 1.0, 2.0, 0.0], []
    for number in range(num_prompts):
        ranks = annotator.rank(sample(number), scores).ranks
        pairs = [(ranks[i] < ranks[j]) == (scores[i] > scores[j]) for i, j in combinations(range(4), 2)]
        right.append(sum(pairs) / len(pairs))
    # Pairs of one judgement share its noise: the standard error is that of independent prompts, 0.5 at most.
    assert sum(right) / num_prompts == pytest.approx(1 - noise_rate / 2, abs=4 * 0.5 / math.sqrt(num_prompts))
    if noise_rate == 0:
        assert all(share == 1 for share in right)


def test_noise_is_a_uniformly_random_order():
    annotator, num_prompts = ScriptedAnnotator("blind", 1.0), 6000
    counts: dict[tuple[int, ...], int] = {}
    for number in range(num_prompts):
        ranks = annotator.rank(sample(number, 3), [1.0, 1.0, 0.0]).ranks
        counts[ranks] = counts.get(ranks, 0) + 1
    assert len(counts) == 6  # no ties, every order
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi_square < 20.5  # 5 degrees of freedom: exceeded once in 1,000 fair draws


def test_noise_depends_on_seed_name_and_prompt_alone():
    scores = [3.0, 1.0, 2.0, 0.0]

    def ranks(annotator: ScriptedAnnotator) -> list[tuple[int, ...]]:
        return [annotator.rank(sample(number), scores).ranks for number in range(50)]

    base = ranks(ScriptedAnnotator("anna", 0.5, seed=1))
    assert base == ranks(ScriptedAnnotator("anna", 0.5, seed=1))
    assert base[7] == ScriptedAnnotator("anna", 0.5, seed=1).rank(sample(7), scores).ranks
    assert base != ranks(ScriptedAnnotator("ben", 0.5, seed=1))
    assert base != ranks(ScriptedAnnotator("anna", 0.5, seed=2))
    # A higher rate errs on the same prompts, in the same way, and on others.
    noisier = ranks(ScriptedAnnotator("anna", 0.9, seed=1))
    assert all(new == old for new, old in zip(noisier, base, strict=True) if old != ranks_of_scores(scores))
    assert noisier != base


def test_scores_must_fit_the_responses():
    with pytest.raises(ValueError, match="2 scores for 4 responses"):
        ScriptedAnnotator("anna").rank(sample(1), [1.0, 2.0])
