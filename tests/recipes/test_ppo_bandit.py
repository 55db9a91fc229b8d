"""A bandit whose best arm, mean reward and exact gradient are known: theory says what PPO must do with it."""

from __future__ import annotations

import json

import pytest
import torch
from tests.tiny_models import save_tiny_model, tiny_language_model

from posttrain import PPOConfig, ppo
from posttrain.batches import PolicyBatch, TokenBatch
from posttrain.config.ppo import PPOAlgorithmSection
from posttrain.models.scalar_model import load_scalar_model
from posttrain.recipes.ppo import objectives_of
from posttrain.recipes.ppo_advantages import estimate_advantages
from posttrain.runs.run_log import read_metrics

PROMPT = [7, 8, 9]
ARMS = 270


def arms() -> TokenBatch:
    """Every one-token response to one prompt."""
    ids = torch.tensor([[*PROMPT, arm] for arm in range(ARMS)])
    ones = torch.ones(ARMS, dtype=torch.long)
    return TokenBatch(ids, 3 * ones, ones, torch.ones(ARMS, 1, dtype=torch.bool))


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_the_expected_first_gradient_is_the_exact_one(baseline):
    """All arms in one batch, weighted by their probability: any critic, no clipping at ratio 1, no whitening."""
    model = tiny_language_model(dtype=torch.float64)
    vocabulary = model.head.weight.shape[0]
    tokens = arms().select(range(vocabulary))
    rewards = torch.randn(vocabulary, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = list(model.model.parameters())

    probabilities = model.token_statistics(tokens, temperature=1.0).logprobs.exp()[:, 0]
    assert probabilities.sum().item() == pytest.approx(1.0)
    exact = torch.autograd.grad(-(probabilities * rewards).sum(), parameters)

    algorithm = PPOAlgorithmSection(kl_coef=0.0, whiten_advantages=False)
    values = torch.full((vocabulary, 1), baseline, dtype=torch.float64)
    advantages = estimate_advantages(rewards, values, tokens.response_mask, algorithm).advantages
    old = model.logprobs(tokens, 1.0)
    weights = probabilities.detach()[:, None] * vocabulary
    objective, _ = objectives_of(algorithm, temperature=1.0)
    batch = PolicyBatch(tokens, advantages * weights, old, old)
    loss, metrics = objective(model, batch)
    found = torch.autograd.grad(loss / objective.num_units(batch), parameters)

    assert metrics.means()["ratio_deviation"] == 0.0
    scale = max(float(g.abs().max()) for g in exact)
    assert scale > 1e-2
    for a, b in zip(found, exact, strict=True):
        # advantages are float32, as scores are, and so are the norms inside the model
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * scale)


BEST_ARM = [
    {"name": "regular_expression", "label": name, "weight": weight, "options": {"pattern": pattern}}
    for name, weight, pattern in (("letter", 0.25, "[a-z ]+"), ("best", 0.75, ".*e.*"))
]
"""1 for a response with an e in small letters, 0.25 for one of other small letters, 0 for the rest."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "head"])
def test_policy_finds_the_best_arm_and_the_critic_the_mean_reward(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("posttrain.recipes.session.plot_curve", lambda *_, **__: None)
    model = save_tiny_model(tmp_path / "model", seed=1)
    (tmp_path / "one.jsonl").write_text(json.dumps({"prompt": "pull"}) + "\n")
    result = ppo(
        PPOConfig.model_validate(
            {
                "model": str(model),
                "output": tmp_path / "run",
                "steps": 30,
                "prompts_per_step": 1,
                "responses_per_prompt": 64,
                "data": {"path": tmp_path / "one.jsonl"},
                "reward": {"terms": BEST_ARM},
                "sampling": {"max_new_tokens": 1},
                "algorithm": {"kl_coef": 0.0, "value_clip": None, "value_coef": 1.0},
                "optimizer": {"learning_rate": 1e-2},
                "critic": {"kind": kind, "optimizer": {"learning_rate": 1e-2}},
                "compute": {"dtype": "float32", "device": "cpu"},
                "checkpoint": {"every_steps": 30},
            }
        )
    )
    rows = read_metrics(result.run_folder)
    assert rows[0]["reward_mean"] < 0.3
    assert sum(row["reward_mean"] for row in rows[-5:]) / 5 > 0.9
    for row in rows[-5:]:
        assert row["value_mean"] == pytest.approx(row["reward_mean"], abs=0.15)
        assert row["value_std"] == pytest.approx(0.0, abs=1e-5), "one state has one value"
    if kind == "own":
        folder = result.model_folder / "critic"
        critic = load_scalar_model(folder, dtype=torch.float32, device="cpu")
        assert critic.model.score.out_features == 1
