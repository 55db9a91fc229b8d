"""A frozen reward model judges a policy's rollouts: GRPO on a tiny model, from a folder that a run would write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_tiny_model
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain import GRPOConfig, grpo
from posttrain.config.sections import ComputeSection, RewardSection, RewardTermSection
from posttrain.errors import ConfigError, ModelError
from posttrain.models.reward_model import Calibration, RewardModel
from posttrain.recipes.reward import highest_score, open_reward, term_names


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    # Many ids end a response, so that a random model ends some of them.
    ends = {"eos_token_id": [4, *range(40, 70)]}
    return save_tiny_model(tmp_path_factory.mktemp("policy"), seed=1, generation=ends)


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory) -> Path:
    return save_tiny_reward_model(tmp_path_factory.mktemp("reward"), seed=2)


def config(model: Path, reward_model: Path, output: Path, **more) -> GRPOConfig:
    return GRPOConfig.model_validate(
        {
            "model": str(model),
            "output": output,
            "steps": 2,
            "prompts_per_step": 2,
            "responses_per_prompt": 6,
            "data": {"task": "sums"},
            "reward": {"terms": [{"model": str(reward_model)}]},
            "sampling": {"max_new_tokens": 12},
            "optimizer": {"learning_rate": 1e-3},
            "compute": {"device": "cpu", "dtype": "float32"},
            "evaluation": {"num_prompts": 2, "samples_per_prompt": 2},
        }
        | more
    )


def scored_samples(output: Path) -> list[dict]:
    rows = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert rows
    return rows


def test_grpo_is_rewarded_by_a_reward_model(model, reward_model, tmp_path):
    result = grpo(config(model, reward_model, tmp_path / "run"))
    assert result.step == 2
    assert not result.is_exact
    assert all(
        not parameter.requires_grad for parameter in opened(reward_model)._scalar_model.model.parameters()
    )
    rows = scored_samples(tmp_path / "run")
    complete = [row for row in rows if row["finish_reason"] != "length"]
    cut = [row for row in rows if row["finish_reason"] == "length"]
    assert complete
    assert cut
    assert {row["score"] for row in cut} == {0.0}
    assert len({row["score"] for row in complete}) > 1


def test_another_reward_model_is_another_experiment(model, reward_model, tmp_path):
    grpo(config(model, reward_model, tmp_path / "run"))
    # The same path, other weights: the configuration does not tell them apart.
    save_tiny_reward_model(reward_model, seed=3)
    try:
        with pytest.raises(ConfigError, match="was rewarded by reward_model@"):
            grpo(config(model, reward_model, tmp_path / "run", steps=3))
    finally:
        save_tiny_reward_model(reward_model, seed=2)


def opened(folder: Path, normalize: bool = True) -> RewardModel:
    return RewardModel.open(folder, dtype=torch.float32, device="cpu", normalize=normalize)


def section(folder: Path, **more) -> RewardSection:
    return RewardSection(terms=(RewardTermSection(model=str(folder), **more),))


def test_what_a_run_remembers_of_a_reward_model(reward_model, tmp_path):
    with open_reward(
        section(reward_model), None, compute=ComputeSection(device="cpu", dtype="float32")
    ) as judge:
        assert term_names(judge) == [f"reward_model@{opened(reward_model).fingerprint}"]
        assert highest_score(judge) is None
    moved = save_tiny_reward_model(tmp_path / "moved", seed=2)
    others = (
        save_tiny_reward_model(tmp_path / "weights", seed=3),
        save_tiny_reward_model(
            tmp_path / "calibration", seed=2, calibration=Calibration(0.3, 0.5, 4, "made up")
        ),
    )
    assert opened(moved).fingerprint == opened(reward_model).fingerprint
    found = [opened(other).fingerprint for other in others] + [opened(moved, normalize=False).fingerprint]
    assert len({*found, opened(moved).fingerprint}) == 4


def test_wrong_reward_models_are_said_at_once(model, tmp_path):
    with pytest.raises(ModelError, match="is no reward or value model"):
        open_reward(section(model), None)
    raw = save_tiny_reward_model(tmp_path / "raw", calibration=None)
    with pytest.raises(ModelError, match=r"no calibration.*normalize = false"):
        open_reward(section(raw), None)
    with open_reward(section(raw, normalize=False), None):
        pass


def test_a_term_is_of_one_kind():
    with pytest.raises(ValueError, match="needs one of"):
        RewardTermSection(name="exact_answer", model="runs/rm/model")
    with pytest.raises(ValueError, match="normalize is for"):
        RewardTermSection(name="exact_answer", normalize=False)
