"""The PPO recipe on a tiny model, as a user would call it: every setting that changes the path through it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_tiny_model, tiny_language_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

from posttrain import PPOConfig, ppo
from posttrain.batches import TokenBatch
from posttrain.errors import ConfigError, InvariantError, ModelError
from posttrain.models.loading import load_language_model
from posttrain.models.reward_model import Calibration, RewardModelDescription
from posttrain.models.scalar_model import ScalarModel, is_scalar_model, load_scalar_model, scalar_model_of
from posttrain.models.value_head import PolicyWithValueHead
from posttrain.recipes.critics import Critic
from posttrain.runs.run_log import read_metrics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", kind="llama", seed=1)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """Drawing curves takes longer than everything else here, and has tests of its own."""
    monkeypatch.setattr("posttrain.recipes.session.plot_curve", lambda *_, **__: None)


@pytest.fixture
def config(model, tmp_path):
    def config(**changes) -> PPOConfig:
        settings = {
            "model": str(model),
            "output": tmp_path / "run",
            "steps": 2,
            "prompts_per_step": 6,
            "responses_per_prompt": 2,
            "data": {"task": "sums"},
            "reward": {"terms": [VOWELS]},
            "sampling": {"max_new_tokens": 5},
            "algorithm": {"kl_coef": 0.0},
            "optimizer": {"learning_rate": 1e-3},
            "critic": {"optimizer": {"learning_rate": 1e-3}},
            "compute": {"dtype": "float32", "device": "cpu"},
            "evaluation": {"num_prompts": 3, "samples_per_prompt": 2},
        }
        for name, value in changes.items():
            both_tables = isinstance(settings.get(name), dict) and isinstance(value, dict)
            settings[name] = {**settings[name], **value} if both_tables else value
        return PPOConfig.model_validate(settings)

    return config


VOWELS = {"name": "regular_expression", "options": {"pattern": "[aeiou0-9]", "match": "anywhere"}}
"""A reward that differs between responses of an untrained model, judged in this process."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def parameters(folder: Path) -> dict[str, int]:
    return json.loads((folder / "facts.json").read_text())["parameters_held"]


LOGGED = {
    "clip_loss", "loss", "value_loss", "explained_variance", "reward_mean", "kl_coef",
    "value_mean", "value_std", "value_min", "value_max", "return_mean", "return_std",
    "advantage_mean", "advantage_std", "clip_fraction_low", "clip_fraction_high", "reference_kl",
}  # fmt: skip


def test_every_term_is_logged_apart(config):
    note = ppo(config(algorithm={"preset": "note", "kl_coef": 0.02}))
    row = read_metrics(note.run_folder)[-1]
    assert LOGGED | {"entropy_bonus", "kl_loss", "critic_grad_norm", "critic_learning_rate"} <= row.keys()
    whole = row["clip_loss"] - row["entropy_bonus"] + row["kl_loss"] + 1.0 * row["value_loss"]
    assert row["loss"] == pytest.approx(whole, abs=1e-6)
    usual = ppo(
        config(
            algorithm={"preset": "instructgpt", "kl_coef": 0.1}, output=note.run_folder.with_name("usual")
        ),
    )
    row = read_metrics(usual.run_folder)[-1]
    assert LOGGED | {"reward_kl_part", "value_clip_fraction"} <= row.keys()
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


@pytest.mark.parametrize("kind", ["own", "head"])
@pytest.mark.parametrize("preset", ["note", "instructgpt"])
def test_the_first_ratio_is_1_and_the_first_kl_0(config, kind, preset):
    result = ppo(config(algorithm={"preset": preset, "kl_coef": 0.02}, critic={"kind": kind}, steps=3))
    rows = read_metrics(result.run_folder)
    assert [row["ratio_deviation"] for row in rows] == [0.0, 0.0, 0.0], "one update a step"
    assert rows[0]["response_kl"] == 0.0
    assert rows[-1]["response_kl"] != 0.0
    assert rows[0]["value_mean"] == 0.0, "a new head expects nothing yet"
    assert rows[0]["value_std"] == 0.0


@pytest.mark.parametrize("kind", ["own", "head"])
def test_what_it_leaves_behind(config, model, kind):
    result = ppo(config(critic={"kind": kind}))
    after, before = weights(result.model_folder), weights(model)
    assert after.keys() == before.keys(), "the policy is a plain language model"
    assert any(not torch.equal(after[name], before[name]) for name in before)
    held = parameters(result.run_folder)
    count = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(model).parameters())
    width = AutoModelForCausalLM.from_pretrained(model).config.hidden_size
    assert held["policy"] == count
    assert held["reference"] == 0, "kl_coef is 0"
    assert held["critic"] == (count + width if kind == "own" else width)
    if kind == "own":
        assert is_scalar_model(result.model_folder / "critic")
    else:
        assert (result.model_folder / "value_head.safetensors").exists()


@pytest.fixture
def first_tokens(monkeypatch) -> list[TokenBatch]:
    """The token batches that critics were asked about, of each run's steps in turn."""
    found: list[TokenBatch] = []
    values = Critic.values

    def remembered(self, tokens, minibatches):
        found.append(tokens)
        return values(self, tokens, minibatches)

    monkeypatch.setattr(Critic, "values", remembered)
    return found


@pytest.mark.parametrize("kind", ["own", "head"])
def test_a_trained_critic_can_be_started_from(config, model, first_tokens, kind):
    """The saved critic, and the saved head, are what the next run's critic says at its first step."""
    faster = {"kind": kind, "optimizer": {"learning_rate": 1e-2}}
    first = ppo(config(critic=faster, output=config().output.with_name("first")))
    start = first.model_folder / "critic" if kind == "own" else first.model_folder
    first_tokens.clear()
    second = ppo(config(critic={"kind": kind, "start": str(start)}))
    saved: ScalarModel | PolicyWithValueHead
    if kind == "own":
        saved = load_scalar_model(start, dtype=torch.float32, device="cpu")
    else:
        saved = PolicyWithValueHead(load_language_model(model, dtype=torch.float32, device="cpu"))
        saved.load_head(start)
    tokens = first_tokens[0]
    expected = saved.values_without_graph(tokens)[tokens.response_mask].double()
    row = read_metrics(second.run_folder)[0]
    assert row["value_mean"] == pytest.approx(float(expected.mean()), rel=1e-4)
    assert row["value_std"] == pytest.approx(float(expected.std(correction=0)), rel=1e-3)
    assert row["value_std"] > 1e-3


def test_the_critic_may_start_alone(config, model):
    alone = {"policy_starts_after_steps": 2}
    result = ppo(config(steps=3, critic=alone, checkpoint={"every_steps": 1}))
    rows = read_metrics(result.run_folder)
    untouched = weights(result.run_folder / "checkpoints/step_00000002/model")
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in weights(model).items())
    assert all("clip_loss" not in row for row in rows[:2])
    assert all(row["critic_grad_norm"] > 0 for row in rows)
    assert rows[2]["value_std"] > 0.0
    assert rows[2]["clip_loss"] != 0.0
    one_step = weights(result.run_folder / "checkpoints/step_00000003/model")
    assert any(not torch.equal(tensor, one_step[name]) for name, tensor in weights(model).items())


@pytest.mark.parametrize("overlong", ["score", "zero", "bootstrap", "mask"])
def test_cut_responses(config, overlong):
    result = ppo(
        config(
            algorithm={"overlong": overlong}, sampling={"max_new_tokens": 3}, steps=3, prompts_per_step=12
        ),
    )
    rows = read_metrics(result.run_folder)
    assert rows[0]["cut_share"] > 0.8
    if overlong == "mask":
        assert all(row["trained_share"] == pytest.approx(1 - row["cut_share"]) for row in rows)
    elif overlong == "score":
        assert rows[0]["return_mean"] > 0
    else:
        assert abs(rows[0]["return_mean"]) < 0.2 * rows[0]["reward_mean"]
    if overlong == "bootstrap":
        assert all(row["trained_share"] == 1.0 for row in rows)


def test_a_cut_response_is_worth_what_the_critic_says_of_its_end(config, tmp_path, first_tokens):
    """With lambda 1 the return of every token is the score, or for a cut response the value where it stopped."""
    folder = tmp_path / "critic"
    critic = scalar_model_of(tiny_language_model(seed=5), head="normal")
    critic.save(folder)
    result = ppo(
        config(
            algorithm={"overlong": "bootstrap", "gae_lambda": 1.0},
            critic={"start": str(folder)},
            sampling={"max_new_tokens": 3},
            steps=1,
            prompts_per_step=12,
        )
    )
    samples = [json.loads(line) for line in (result.run_folder / "samples.jsonl").read_text().splitlines()]
    tokens = first_tokens[0]
    assert len(samples) == len(tokens) == 24
    is_cut = torch.tensor([sample["finish_reason"] == "length" for sample in samples])
    assert tokens.response_lengths[is_cut].tolist() == [3] * int(is_cut.sum())
    with torch.no_grad():
        ends = critic.end_values(tokens)
    worth = torch.where(is_cut, ends, torch.tensor([sample["score"] for sample in samples]))
    assert ends[is_cut].abs().min() > 1e-3, "with values of 0 this would be the setting zero"
    of_tokens = worth[:, None].expand_as(tokens.response_mask)[tokens.response_mask].double()
    row = read_metrics(result.run_folder)[0]
    assert row["return_mean"] == pytest.approx(float(of_tokens.mean()), rel=1e-4)
    assert row["return_std"] == pytest.approx(float(of_tokens.std(correction=0)), rel=1e-3)


def test_epochs_and_minibatches_move_the_ratio_and_clip_the_values(config):
    result = ppo(
        config(
            epochs_per_step=2,
            minibatches_per_step=2,
            algorithm={"value_clip": 1e-4},
            critic={"optimizer": {"learning_rate": 1e-2}},
        ),
    )
    row = read_metrics(result.run_folder)[-1]
    assert row["ratio_deviation"] > 0.0
    assert row["value_clip_fraction"] > 0.0


@pytest.mark.parametrize("where", ["loss", "reward"])
def test_the_kl_coefficient_adapts(config, where):
    """Far below its target it sinks by 20 % x responses / horizon a step (arXiv 1909.08593)."""
    section = {"kl_coef": 0.1, "kl": "k3", "kl_in": where, "kl_target": 1e3, "kl_horizon": 24}
    result = ppo(config(algorithm=section, steps=3))
    found = [row["kl_coef"] for row in read_metrics(result.run_folder)]
    assert found == pytest.approx([0.1, 0.09, 0.081])


@pytest.mark.parametrize("where", ["loss", "reward"])
def test_the_kl_coefficient_rises_above_its_target(config, where):
    """The first KL is 0, below any target; after an update it is above a tiny one."""
    section = {"kl_coef": 0.1, "kl": "k3", "kl_in": where, "kl_target": 1e-9, "kl_horizon": 24}
    rows = read_metrics(ppo(config(algorithm=section, steps=4)).run_folder)
    assert all(row["response_kl"] > 1e-8 for row in rows[1:])
    assert [row["kl_coef"] for row in rows] == pytest.approx([0.1, 0.09, 0.099, 0.1089])


@pytest.mark.parametrize("kind", ["own", "head"])
def test_lora(config, model, kind):
    result = ppo(
        config(
            lora={"r": 4, "alpha": 8.0, "targets": ("q_proj",)},
            algorithm={"kl_coef": 0.1},
            critic={"kind": kind},
        ),
    )
    after, before = weights(result.model_folder), weights(model)
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved
    assert all("q_proj" in name for name in moved)
    assert parameters(result.run_folder)["reference"] == 0, "the policy with its adapter off"


def test_bfloat16_and_gradient_checkpointing(config):
    compute = {"dtype": "bfloat16", "gradient_checkpointing": True}
    result = ppo(config(compute=compute, algorithm={"preset": "note"}))
    assert all(row["grad_norm"] > 0 for row in read_metrics(result.run_folder))


def test_some_failures_of_the_reward_are_left_out(config):
    def fails_sometimes(prompts, completions, **columns):
        return [None if len(text) % 3 == 0 else 1.0 for text in completions]

    result = ppo(config(reward={"terms": [], "max_unscored_share": 1.0}), reward=fails_sometimes)
    for row in read_metrics(result.run_folder):
        assert row["trained_share"] == pytest.approx(1 - row["unscored_share"])
        if row["trained_share"]:
            assert row["advantage_mean"] != 0.0 or row["value_mean"] != 0.0


def test_nothing_to_train_on_changes_nothing(config, model):
    """Every response is cut, and cut ones are not trained on."""
    settings = {"algorithm": {"overlong": "mask"}, "sampling": {"max_new_tokens": 1}, "steps": 1}
    result = ppo(config(**settings))
    assert read_metrics(result.run_folder)[0]["trained_share"] == 0.0
    before = weights(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(result.model_folder).items())


def test_a_critic_with_another_vocabulary_is_refused_before_any_step(config, tmp_path):
    other = save_tiny_model(tmp_path / "other", chat_template=False, vocab_size=300)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["something"])
    tokenizer.save_pretrained(other)
    with pytest.raises(ConfigError, match="vocabulary"):
        ppo(config(critic={"start": str(other)}))
    assert not read_metrics(tmp_path / "run")


def test_a_critic_of_another_width_is_fine_as_a_network_of_its_own(config, tmp_path):
    wide = save_tiny_model(tmp_path / "wide", hidden_size=64)
    result = ppo(config(critic={"start": str(wide)}))
    held = parameters(result.run_folder)
    assert held["critic"] > 1.5 * held["policy"]


def test_a_head_of_another_width_and_no_critic_are_refused(config, tmp_path):
    (tmp_path / "wide").mkdir()
    PolicyWithValueHead(tiny_language_model(hidden_size=64)).save_head(tmp_path / "wide")
    with pytest.raises(ModelError, match="width 64"):
        ppo(config(critic={"kind": "head", "start": str(tmp_path / "wide")}))
    with pytest.raises(ModelError, match="no/such"):
        ppo(config(critic={"start": str(tmp_path / "no/such/critic")}))


def test_a_reward_model_starts_the_critic(config, tmp_path):
    """instructgpt: the critic takes the reward model's trunk, and says 0, the mean of normalised rewards."""
    folder = tmp_path / "reward_model"
    made = scalar_model_of(tiny_language_model(seed=5), head="normal")
    made.save(folder)
    RewardModelDescription(calibration=Calibration(3.0, 0.5, 8, "answers")).write(folder)
    terms = {"terms": [{"model": str(folder)}]}
    assert config(reward=terms).critic_start == str(folder)
    assert config(reward=terms, algorithm={"preset": "note"}).critic_start == "policy"
    still = {"optimizer": {"learning_rate": 1e-12}, "head_learning_rate": 1e-12}
    result = ppo(config(reward=terms, critic=still))
    first = read_metrics(result.run_folder)[0]
    assert (first["value_mean"], first["value_std"]) == (0.0, 0.0)
    held = parameters(result.run_folder)
    assert held["reward_model"] == held["critic"]
    critic = load_scalar_model(
        result.model_folder / "critic", dtype=torch.float32, device="cpu"
    ).model.base_model.state_dict()
    for name, tensor in made.model.base_model.state_dict().items():
        torch.testing.assert_close(critic[name], tensor, rtol=0, atol=1e-9)


def test_a_named_reward_model_keeps_its_head_and_the_user_hears_of_raw_scores(config, tmp_path, capsys):
    folder = tmp_path / "reward_model"
    scalar_model_of(tiny_language_model(seed=5), head="normal").save(folder)
    critic = {"start": str(folder)}
    ppo(config(critic=critic, steps=1))
    assert "raw scores" not in capsys.readouterr().out, (
        "without a calibration its scores are rewards as they are"
    )
    RewardModelDescription(calibration=Calibration(3.0, 0.5, 8, "answers")).write(folder)
    result = ppo(config(critic=critic, steps=1, output=tmp_path / "calibrated"))
    assert read_metrics(result.run_folder)[0]["value_std"] > 0.0
    assert "raw scores" in capsys.readouterr().out


def test_wrong_temperature_stops_the_run(config, monkeypatch):
    from posttrain.training.learner import Learner

    logprobs = Learner.logprobs
    monkeypatch.setattr(
        Learner, "logprobs", lambda self, tokens, temperature, **rest: logprobs(self, tokens, 0.7, **rest)
    )
    monkeypatch.setattr("posttrain.recipes.policy_run.check_sampler_mismatch", lambda mismatch: None)
    with pytest.raises(InvariantError, match="ratio"):
        ppo(config())


def test_the_saved_configuration_is_the_resolved_one(config):
    from posttrain.config.loading import load_config

    settings = config(algorithm={"preset": "note", "horizon": 3}, critic={"kind": "head"})
    result = ppo(settings)
    assert load_config(PPOConfig, result.run_folder / "config.toml") == settings
