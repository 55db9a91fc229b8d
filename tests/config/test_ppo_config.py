"""What PPO's settings refuse, and what they resolve to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from posttrain.config.ppo import PPO_PRESETS, PPOAlgorithmSection, PPOConfig


def config(**settings) -> PPOConfig:
    return PPOConfig.model_validate({"data": {"task": "sums"}, **settings})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"algorithm": {"kl": "k1", "kl_in": "loss"}}, "zero gradient"),
        ({"algorithm": {"critic_target": "reward"}}, "wrong by the KL"),
        ({"algorithm": {"preset": "note", "kl_in": "reward"}}, "wrong by the KL"),
        ({"algorithm": {"preset": "note", "critic_lambda": 1.0}}, "has no lambda"),
        ({"algorithm": {"kl_coef": 0.0, "kl_target": 6.0}}, "stays 0"),
        ({"algorithm": {"preset": "dapo"}}, "note"),
        ({"algorithm": {"horizon": 0}}, "horizon"),
        ({"critic": {"kind": "head", "policy_starts_after_steps": 2}}, "shares its trunk"),
        ({"critic": {"kind": "head", "head_learning_rate": 1e-3}}, "critic.optimizer.learning_rate"),
        ({"steps": 3, "critic": {"policy_starts_after_steps": 3}}, "leaves nothing"),
        ({"prompts_per_step": 2, "minibatches_per_step": 3}, "Lower it"),
        ({"responses_per_prompt": 0}, "greater than or equal to 1"),
        ({"critics": {}}, "critics"),
    ],
)
def test_wrong_settings_are_refused_with_what_to_do(settings, said):
    with pytest.raises(ValidationError, match=said):
        config(**settings)


@pytest.mark.parametrize("preset", PPO_PRESETS)
def test_a_preset_names_real_settings_and_fills_them(preset):
    section = PPOAlgorithmSection(preset=preset)
    assert {name: getattr(section, name) for name in PPO_PRESETS[preset]} == PPO_PRESETS[preset]


def test_the_defaults_are_those_of_the_default_preset():
    """Else the help would show other numbers than a run has."""
    fields = PPOAlgorithmSection.model_fields
    default = fields["preset"].default
    assert {name: fields[name].default for name in PPO_PRESETS[default]} == PPO_PRESETS[default]


def test_what_a_step_is():
    found = config(
        prompts_per_step=8, responses_per_prompt=2, minibatches_per_step=4, epochs_per_step=3, steps=5
    )
    assert (found.responses_per_step, found.updates_per_step, found.optimizer_steps) == (16, 12, 60)
    assert config().responses_per_prompt == 1
    assert config().critic_start == "policy"


def test_a_critics_folder_is_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "critic").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config(critic={"start": "critic"}).critic_start == str(tmp_path / "critic")
    assert config(critic={"start": "HuggingFaceTB/SmolLM2-135M"}).critic_start == "HuggingFaceTB/SmolLM2-135M"
