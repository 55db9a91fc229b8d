"""`evaluation.reward`: what held-out responses are judged by may differ from what is trained by."""

from __future__ import annotations

import pytest
from tests.tiny_models import save_tiny_model
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain.commands.evaluate import config_of_run
from posttrain.config.grpo import GRPOConfig
from posttrain.errors import ConfigError
from posttrain.recipes.grpo import grpo
from posttrain.runs.run_log import read_rows

LENGTH = {"terms": [{"name": "length_reward", "options": {"maximum": 1}}]}
CONTAINS = {"terms": [{"name": "contains", "options": {"text": "a"}}]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1)


def config(model, output, **evaluation) -> GRPOConfig:
    return GRPOConfig(
        model=str(model),
        output=output,
        steps=1,
        prompts_per_step=2,
        responses_per_prompt=4,
        data={"task": "sums"},
        reward=LENGTH,
        sampling={"max_new_tokens": 6},
        compute={"dtype": "float32", "device": "cpu"},
        evaluation={"num_prompts": 3, "samples_per_prompt": 4, **evaluation},
    )


def test_held_out_responses_are_judged_by_their_own_rule(model, tmp_path):
    by_task = {"terms": [{"name": "exact_answer", "options": {"mode": "last_number"}}]}
    apart = grpo(config(model, tmp_path / "apart", reward=by_task))
    alone = grpo(config(model, tmp_path / "alone"))
    assert apart.is_exact
    assert not alone.is_exact
    assert apart.before.accuracy == 0.0  # a random model adds nothing up
    metrics = [read_rows(tmp_path / name / "metrics.jsonl") for name in ("apart", "alone")]
    assert metrics[0] == metrics[1]  # what is trained is the same
    assert "reward/length_reward" in metrics[0][0]


def test_evaluating_the_run_again_uses_that_rule(model, tmp_path):
    grpo(config(model, tmp_path / "run", reward=CONTAINS))
    assert [term.name for term in config_of_run(tmp_path / "run", []).reward.terms] == ["contains"]


def test_a_held_out_judge_with_other_weights_is_another_experiment(model, tmp_path):
    """The same path: the configuration does not tell the two reward models apart."""
    folder = save_tiny_reward_model(tmp_path / "reward", seed=2)
    by_model = {"terms": [{"model": str(folder)}]}
    grpo(config(model, tmp_path / "run", reward=by_model))
    longer = config(model, tmp_path / "run", reward=by_model).model_copy(update={"steps": 2})
    save_tiny_reward_model(folder, seed=3)
    with pytest.raises(ConfigError, match=r"judged by reward_model@.*now would be by reward_model@"):
        grpo(longer)
    save_tiny_reward_model(folder, seed=2)
    assert grpo(longer).step == 2


def test_another_rule_is_another_experiment(model, tmp_path):
    grpo(config(model, tmp_path / "run", reward=CONTAINS))
    with pytest.raises(ConfigError, match=r"evaluation\.reward"):
        grpo(config(model, tmp_path / "run", reward=LENGTH))
