"""Each preset against its paper's formula, written out with plain Python numbers.

Two groups of three responses of different lengths. The formulas below are maximised in the papers, so the
loss is minus them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
import torch

from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.config.algorithm import PRESETS, AlgorithmSection
from posttrain.models.language_model import ResponseStatistics
from posttrain.recipes.groups import Groups, advantages_of
from posttrain.training.objectives import PolicyGradient

LENGTHS = [3, 1, 4, 2, 2, 4]
GROUPS = [0, 0, 0, 1, 1, 1]
REWARDS = [1.0, 0.0, 0.5, 0.0, 1.0, 1.0]
MAX_LENGTH = 8

torch.manual_seed(0)
OLD = -torch.rand(6, 4, dtype=torch.float64) * 2 - 0.1
POLICY = OLD + 0.3 * torch.randn(6, 4, dtype=torch.float64)
REFERENCE = OLD + 0.2 * torch.randn(6, 4, dtype=torch.float64)
EXACT_KL = torch.rand(6, 4, dtype=torch.float64)


def rows(tensor: torch.Tensor) -> list[list[float]]:
    return [tensor[i, :n].tolist() for i, n in enumerate(LENGTHS)]


POLICY_ROWS, OLD_ROWS, REFERENCE_ROWS, KL_ROWS = map(rows, (POLICY, OLD, REFERENCE, EXACT_KL))


class FixedModel:
    """A "model" whose statistics are given."""

    def token_statistics(self, tokens, **_):
        return ResponseStatistics(POLICY, torch.zeros(6, 4, dtype=torch.float64), EXACT_KL)


def loss_of(preset: str) -> float:
    """Posttrain's loss for the preset, through the recipe's own pieces."""
    algorithm = AlgorithmSection(preset=preset)
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(4)[None, :] < lengths[:, None]
    tokens = TokenBatch(torch.zeros(6, 5, dtype=torch.long), torch.ones(6, dtype=torch.long), lengths, mask)
    rewards = torch.tensor(REWARDS, dtype=torch.float64)
    if algorithm.kl_in == "reward":
        kl = OLD - REFERENCE
        rewards = rewards - algorithm.kl_coef * torch.where(mask, kl, 0.0).sum(-1)
    groups = Groups((), torch.tensor(GROUPS), rewards, rewards == rewards, rewards != rewards, {})
    advantages = advantages_of(groups, rewards, algorithm)
    objective = PolicyGradient(
        clip_low=algorithm.clip_low,
        clip_high=algorithm.clip_high,
        dual_clip=algorithm.dual_clip,
        temperature=1.0,
        ratio_level=algorithm.ratio_level,
        aggregation=algorithm.aggregation,
        max_response_length=MAX_LENGTH,
        kl_coef=algorithm.kl_coef if algorithm.kl_in == "loss" else 0.0,
        kl=algorithm.kl,
        reference_head=object(),
    )
    batch = PolicyBatch(
        tokens,
        advantages[:, None].expand(6, 4),
        OLD,
        OLD,
        reference_logprobs=REFERENCE,
        reference_hidden=torch.zeros(6, 4, 1),
    )
    total, _ = objective(FixedModel(), batch)
    return float(total) / objective.num_units(batch)


def in_group(i: int) -> list[float]:
    return [REWARDS[j] for j in range(6) if GROUPS[j] == GROUPS[i]]


def standardised(i: int) -> float:
    return (REWARDS[i] - statistics.mean(in_group(i))) / statistics.stdev(in_group(i))


def clipped(ratio: float, advantage: float, low: float, high: float) -> float:
    return min(ratio * advantage, max(1 - low, min(ratio, 1 + high)) * advantage)


def ratios(i: int) -> list[float]:
    return [math.exp(p - o) for p, o in zip(POLICY_ROWS[i], OLD_ROWS[i], strict=True)]


def note() -> float:
    """1/N sum_i min(rho_i A_i, clip(rho_i) A_i) - w1 KL: rho_i is the ratio of the whole response."""
    total = 0.0
    for i in range(6):
        whole = math.exp(sum(POLICY_ROWS[i]) - sum(OLD_ROWS[i]))
        total += clipped(whole, standardised(i), 0.2, 0.2) - 0.04 * statistics.mean(KL_ROWS[i])
    return total / 6


def deepseekmath() -> float:
    """1/G sum_i 1/|o_i| sum_t {min(...) - beta (ref/pi - log ref/pi - 1)}."""
    total = 0.0
    for i in range(6):
        terms = []
        for t, ratio in enumerate(ratios(i)):
            gap = REFERENCE_ROWS[i][t] - POLICY_ROWS[i][t]
            terms.append(clipped(ratio, standardised(i), 0.2, 0.2) - 0.04 * (math.exp(gap) - gap - 1))
        total += sum(terms) / LENGTHS[i]
    return total / 6


def dr_grpo() -> float:
    """1/G sum_i sum_t min(...) / MAX_TOKENS with A_i = R_i - mean."""
    total = 0.0
    for i in range(6):
        advantage = REWARDS[i] - statistics.mean(in_group(i))
        total += sum(clipped(ratio, advantage, 0.2, 0.2) for ratio in ratios(i)) / MAX_LENGTH
    return total / 6


def dapo() -> float:
    """1/sum|o_i| sum_i sum_t min(rho A, clip(rho, 1 - 0.2, 1 + 0.28) A)."""
    terms = [clipped(ratio, standardised(i), 0.2, 0.28) for i in range(6) for ratio in ratios(i)]
    return sum(terms) / sum(LENGTHS)


def gspo() -> float:
    """1/G sum_i min(s_i A_i, clip(s_i) A_i), s_i = (pi/pi_old)^(1/|o_i|)."""
    total = 0.0
    for i in range(6):
        mean_ratio = math.exp((sum(POLICY_ROWS[i]) - sum(OLD_ROWS[i])) / LENGTHS[i])
        total += clipped(mean_ratio, standardised(i), 3e-4, 4e-4)
    return total / 6


def rloo() -> float:
    """1/k sum_i (R_i - mean of the others') ratio_i; R_i holds - beta log(pi_old / ref) of the whole response."""
    shaped = [
        REWARDS[i] - 0.05 * sum(o - r for o, r in zip(OLD_ROWS[i], REFERENCE_ROWS[i], strict=True))
        for i in range(6)
    ]
    total = 0.0
    for i in range(6):
        others = [shaped[j] for j in range(6) if GROUPS[j] == GROUPS[i] and j != i]
        whole = math.exp(sum(POLICY_ROWS[i]) - sum(OLD_ROWS[i]))
        total += clipped(whole, shaped[i] - statistics.mean(others), 0.2, 0.2)
    return total / 6


FORMULAS: dict[str, Callable[[], float]] = {
    "note": note,
    "grpo": deepseekmath,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "rloo": rloo,
}


def test_every_preset_has_a_formula():
    assert FORMULAS.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", FORMULAS)
def test_preset_is_the_papers_formula(preset):
    assert loss_of(preset) == pytest.approx(-FORMULAS[preset](), rel=1e-10)


def test_presets_differ_from_each_other():
    """Otherwise the test above could pass with a preset that is not applied."""
    losses = [round(loss_of(preset), 8) for preset in FORMULAS]
    assert len(set(losses)) == len(losses)


def test_dapo_also_draws_other_prompts_and_punishes_length():
    algorithm = AlgorithmSection(preset="dapo")
    assert algorithm.zero_variance_groups == "resample"
    assert algorithm.overlong == "soft_penalty"
