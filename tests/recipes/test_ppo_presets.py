"""Each PPO preset against its source, written out with plain Python numbers, through the recipe's own pieces.

Four responses of different lengths, the last one cut by length. The note maximises; the loss is minus that.
"""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from posttrain.batches import PolicyBatch, PolicyValueBatch, TokenBatch, ValueBatch
from posttrain.config.ppo import PPO_PRESETS, PPOAlgorithmSection
from posttrain.models.language_model import ResponseStatistics
from posttrain.recipes.ppo import objectives_of
from posttrain.recipes.ppo_advantages import estimate_advantages, final_scores
from posttrain.training.value_objective import PolicyAndValue
from posttrain.types import Prompt, Rollout, Score, ScoredRollout

LENGTHS = [3, 1, 4, 2]
SCORES = [1.0, -0.5, 0.25, 0.8]
CUT = 3
TOKENS = sum(LENGTHS)

torch.manual_seed(0)
shape = {"size": (4, 4), "dtype": torch.float64}
OLD = -torch.rand(**shape) * 2 - 0.1
POLICY = OLD + 0.3 * torch.randn(**shape)
REFERENCE = OLD + 0.2 * torch.randn(**shape)
EXACT_KL = torch.rand(**shape)
ENTROPY = 1 + torch.rand(**shape)
OLD_VALUES = torch.randn(**shape)
VALUES = OLD_VALUES + 0.4 * torch.randn(**shape)
MASK = torch.arange(4)[None, :] < torch.tensor(LENGTHS)[:, None]


class FixedModel:
    """A policy with a value head whose numbers are given."""

    def statistics_and_values(self, tokens, **_):
        return ResponseStatistics(POLICY, ENTROPY, EXACT_KL), VALUES


def loss_of(preset: str) -> float:
    """Posttrain's whole loss for the preset."""
    algorithm = PPOAlgorithmSection(preset=preset)
    scored = [
        ScoredRollout(
            Rollout(Prompt(str(i), "?"), 0, (7,) * n, (-1.0,) * n, "length" if i == CUT else "eos", "", 0),
            Score(SCORES[i]),
        )
        for i, n in enumerate(LENGTHS)
    ]
    found = final_scores(scored, algorithm)
    in_reward = algorithm.kl_in == "reward"
    estimates = estimate_advantages(
        found.scores.float(),
        OLD_VALUES,
        MASK,
        algorithm,
        kl=OLD - REFERENCE if in_reward else None,
        kl_coef=algorithm.kl_coef if in_reward else 0.0,
    )
    tokens = TokenBatch(
        torch.zeros(4, 5, dtype=torch.long), torch.ones(4, dtype=torch.long), torch.tensor(LENGTHS), MASK
    )
    hidden = torch.zeros(4, 4, 1)
    batch = PolicyValueBatch(
        PolicyBatch(tokens, estimates.advantages, OLD, OLD, reference_hidden=hidden),
        ValueBatch(tokens, OLD_VALUES, estimates.targets),
    )
    objective = PolicyAndValue(*objectives_of(algorithm, temperature=1.0, reference_head=object()))
    total, metrics = objective(FixedModel(), batch)
    mean = float(total) / objective.num_units(batch)
    assert metrics.means()["loss"] == pytest.approx(mean)
    return mean


def clipped(ratio: float, advantage: float) -> float:
    return min(ratio * advantage, max(0.8, min(ratio, 1.2)) * advantage)


def gae(rewards: list[float], values: list[float], gae_lambda: float) -> list[float]:
    """sum_l lambda^l delta_{t+l}, delta_t = r_t + V(s_{t+1}) - V(s_t), V(s_T) = 0."""
    following = [*values[1:], 0.0]
    deltas = [r + after - before for r, after, before in zip(rewards, following, values, strict=True)]
    return [sum(gae_lambda**i * delta for i, delta in enumerate(deltas[t:])) for t in range(len(deltas))]


def note() -> float:
    """E_t[min(c A, clip(c) A)] + w1 H - w2 KL - w3 (V - R)^2; a partial response earns 0."""
    total = 0.0
    for i, n in enumerate(LENGTHS):
        reward = 0.0 if i == CUT else SCORES[i]
        advantages = gae([0.0] * (n - 1) + [reward], OLD_VALUES[i, :n].tolist(), 0.9)
        for t in range(n):
            ratio = math.exp(POLICY[i, t] - OLD[i, t])
            total += clipped(ratio, advantages[t]) + 0.01 * float(ENTROPY[i, t])
            total -= 0.02 * float(EXACT_KL[i, t]) + 1.0 * (float(VALUES[i, t]) - reward) ** 2
    return total / TOKENS


def instructgpt() -> float:
    """R - beta log(pi/ref) per token, GAE(1, 0.95), whitened; both losses clipped at 0.2; 0.1 x (1/2)(V - return)^2."""
    raw, goals = [], []
    for i, n in enumerate(LENGTHS):
        rewards = [-0.02 * float(OLD[i, t] - REFERENCE[i, t]) for t in range(n)]
        rewards[-1] += SCORES[i]
        old = OLD_VALUES[i, :n].tolist()
        raw.append(gae(rewards, old, 0.95))
        goals.append([a + v for a, v in zip(raw[-1], old, strict=True)])
    every = [a for row in raw for a in row]
    mean, deviation = statistics.fmean(every), statistics.pstdev(every)
    total = 0.0
    for i, n in enumerate(LENGTHS):
        for t in range(n):
            ratio = math.exp(POLICY[i, t] - OLD[i, t])
            total += clipped(ratio, (raw[i][t] - mean) / deviation)
            value, old = float(VALUES[i, t]), float(OLD_VALUES[i, t])
            inside = max(old - 0.2, min(value, old + 0.2))
            total -= 0.1 * 0.5 * max((value - goals[i][t]) ** 2, (inside - goals[i][t]) ** 2)
    return total / TOKENS


FORMULAS = {"note": note, "instructgpt": instructgpt}


def test_every_preset_has_a_formula():
    assert FORMULAS.keys() == PPO_PRESETS.keys()


@pytest.mark.parametrize("preset", FORMULAS)
def test_preset_is_its_sources_formula(preset):
    assert loss_of(preset) == pytest.approx(-FORMULAS[preset](), rel=1e-6)


def test_presets_differ():
    assert loss_of("note") != pytest.approx(loss_of("instructgpt"), rel=1e-3)


def test_a_key_beside_the_preset_overrides_it():
    section = PPOAlgorithmSection(preset="note", gae_lambda=1.0, value_clip=0.3)
    assert (section.gae_lambda, section.value_clip, section.critic_target) == (1.0, 0.3, "reward")
