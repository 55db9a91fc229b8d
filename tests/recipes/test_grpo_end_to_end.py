"""The whole recipe on a tiny model, as a user would call it: every setting that changes the path through it."""

from __future__ import annotations

import errno
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from posttrain import GRPOConfig, grpo
from posttrain.errors import CheckpointError, ConfigError, DataError, InvariantError, ModelError, RewardError
from posttrain.runs.run_log import read_metrics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder, kind="llama", seed=1)
    return folder


@pytest.fixture
def config(model, tmp_path):
    def config(**changes) -> GRPOConfig:
        settings = {
            "model": str(model),
            "output": tmp_path / "run",
            "steps": 2,
            "prompts_per_step": 3,
            "responses_per_prompt": 4,
            "data": {"task": "sums"},
            "sampling": {"max_new_tokens": 5},
            "algorithm": {"kl_coef": 0.0},
            "optimizer": {"learning_rate": 1e-3},
            "compute": {"dtype": "float32", "device": "cpu"},
            "evaluation": {"num_prompts": 3, "samples_per_prompt": 2},
        }
        for name, value in changes.items():
            both_tables = isinstance(settings.get(name), dict) and isinstance(value, dict)
            settings[name] = {**settings[name], **value} if both_tables else value
        return GRPOConfig.model_validate(settings)

    return config


def vowels(prompts, completions, **columns):
    """A reward that differs between responses of an untrained model."""
    return [float(sum(c in "aeiou0123456789" for c in text)) for text in completions]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_trains_and_writes_what_it_says(config, model):
    result = grpo(config(), reward=vowels)
    folder = result.run_folder
    for name in (
        "config.toml",
        "run.json",
        "metrics.jsonl",
        "timings.jsonl",
        "samples.jsonl",
        "samples.html",
    ):
        assert (folder / name).stat().st_size > 0
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    rows = read_metrics(folder)
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert row["ratio_deviation"] == 0.0
        assert row["rollout_mismatch"] == pytest.approx(1.0, abs=1e-4)
        assert row["skipped"] == 0.0
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
    changed = weights(result.model_folder)
    before = weights(model)
    assert any(not torch.equal(changed[name], before[name]) for name in before)
    assert AutoTokenizer.from_pretrained(result.model_folder).chat_template
    checkpoint = weights(folder / "checkpoints/step_00000002/model")
    assert all(torch.equal(checkpoint[name], changed[name]) for name in changed)


def test_reward_rises_and_falls_with_its_sign(config):
    """The control: with the reward negated, the same run goes the other way."""
    settings = {
        "steps": 12,
        "prompts_per_step": 8,
        "responses_per_prompt": 8,
        "optimizer": {"learning_rate": 1e-2},
    }
    up = grpo(config(**settings), reward=vowels)
    down = grpo(
        config(**settings, output=up.run_folder.with_name("down")),
        reward=lambda prompts, completions, **columns: [
            -float(sum(c in "aeiou0123456789" for c in text)) for text in completions
        ],
    )
    first, last = (read_metrics(up.run_folder)[i]["reward_mean"] for i in (0, -1))
    assert last > first + 0.5
    assert read_metrics(down.run_folder)[-1]["reward_mean"] > -first


@pytest.mark.parametrize("kl", ["k2", "k3", "exact_forward", "exact_reverse"])
def test_kl_in_the_loss(config, kl):
    result = grpo(config(algorithm={"kl_coef": 0.1, "kl": kl}), reward=vowels)
    first, second = read_metrics(result.run_folder)
    assert first["reference_kl"] == 0.0
    assert second["reference_kl"] > 0.0


@pytest.mark.parametrize("kl", ["k1", "k3", "exact_reverse"])
def test_kl_in_the_reward(config, kl):
    result = grpo(config(algorithm={"kl_coef": 0.1, "kl": kl, "kl_in": "reward"}), reward=vowels)
    first, second = read_metrics(result.run_folder)
    assert first["reference_kl"] == 0.0
    assert second["reference_kl"] != 0.0


@pytest.mark.parametrize("preset", ["note", "grpo", "dr_grpo", "dapo", "gspo", "rloo"])
def test_presets_run(config, preset):
    changes = {"algorithm": {"preset": preset}, "epochs_per_step": 2, "minibatches_per_step": 2}
    base = config(**changes)
    result = grpo(
        GRPOConfig.model_validate({**base.model_dump(), "algorithm": {"preset": preset}}), reward=vowels
    )
    row = read_metrics(result.run_folder)[-1]
    assert row["ratio_deviation"] > 0.0, "after the first of four updates the policy has moved"
    assert row["grad_norm"] > 0.0


@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_lora_trains_the_adapter_only(config, model, kl_coef):
    result = grpo(
        config(lora={"r": 4, "alpha": 8.0, "targets": ("q_proj", "v_proj")}, algorithm={"kl_coef": kl_coef}),
        reward=vowels,
    )
    after, before = weights(result.model_folder), weights(model)
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved
    assert all("q_proj" in name or "v_proj" in name for name in moved)
    assert (result.model_folder / "adapter" / "adapter_config.json").exists()
    if kl_coef:
        assert read_metrics(result.run_folder)[0]["reference_kl"] == 0.0


def test_lora_with_an_unknown_target_names_the_nearest(config):
    with pytest.raises(ModelError, match="q_proj"):
        grpo(config(lora={"targets": ("q_prj",)}), reward=vowels)


def test_gradient_checkpointing_changes_nothing(config):
    plain = grpo(config(), reward=vowels)
    saved = config(compute={"gradient_checkpointing": True}, output=plain.run_folder.with_name("saved"))
    checkpointed = grpo(saved, reward=vowels)
    for name, tensor in weights(plain.model_folder).items():
        torch.testing.assert_close(weights(checkpointed.model_folder)[name], tensor, rtol=0, atol=1e-6)


def test_microbatches_change_nothing_but_rounding(config):
    whole = grpo(config(compute={"microbatch_tokens": 8192}), reward=vowels)
    small = grpo(
        config(compute={"microbatch_tokens": 64}, output=whole.run_folder.with_name("small")), reward=vowels
    )
    a, b = (read_metrics(result.run_folder)[0] for result in (whole, small))
    assert a["microbatches"] < b["microbatches"]
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


def test_bfloat16_trains_at_a_rate_that_its_grid_would_swallow(config, model, tmp_path):
    """Updates of 1e-6 on a grid of 1e-4: float32 masters and dithered rounding let a few weights move at once."""
    start = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(start)
    AutoTokenizer.from_pretrained(model).save_pretrained(start)
    rate = {"learning_rate": 1e-6}
    result = grpo(config(model=str(start), compute={"dtype": "bfloat16"}, optimizer=rate), reward=vowels)
    before, after = weights(start), weights(result.model_folder)
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    moved = sum(int((after[name] != before[name]).sum()) for name in before)
    total = sum(tensor.numel() for tensor in before.values())
    assert 0 < moved < 0.2 * total


def test_own_prompts_and_columns(config, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"say {i}", "wanted": str(i)}) + "\n" for i in range(5)))

    def reward(prompts, completions, wanted, **columns):
        assert all(prompt == f"say {number}" for prompt, number in zip(prompts, wanted, strict=True))
        return [float(len(text)) for text in completions]

    result = grpo(config(data={"task": None, "path": path}), reward=reward)
    assert result.before is None
    assert result.model_folder is not None
    assert {row["epoch"] for row in read_metrics(result.run_folder)} == {0.0, 1.0}


def test_prompts_from_a_file_need_a_reward(config, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(ConfigError, match="need a reward"):
        grpo(config(data={"task": None, "path": path}))


def test_a_malformed_line_is_named_before_anything_is_loaded(config, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    with pytest.raises(DataError, match=r"own\.jsonl.*2.*promt"):
        grpo(config(data={"task": None, "path": path}, model="/no/such/model"), reward=vowels)
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_leaves_no_checkpoint(config, tmp_path):
    with pytest.raises(ModelError, match="/no/such/model"):
        grpo(config(model="/no/such/model"), reward=vowels)


def test_a_few_failures_of_the_reward_are_counted(config):
    def fails_sometimes(prompts, completions, **columns):
        if any(sum(map(ord, text)) % 3 == 0 for text in completions):
            raise RuntimeError("not this one, please")
        return vowels(prompts, completions)

    result = grpo(config(reward={"max_unscored_share": 0.9}), reward=fails_sometimes)
    assert 0 < read_metrics(result.run_folder)[0]["unscored_share"] < 0.9


def test_too_many_failures_stop_with_the_traceback(config):
    def fails(prompts, completions, **columns):
        return [1 / 0 for _ in completions]

    with pytest.raises(RewardError, match="ZeroDivisionError"):
        grpo(config(data={"task": "sums"}), reward=fails)


def test_a_hanging_reward_is_killed(config):
    def hangs(prompts, completions, **columns):
        while True:
            pass

    with pytest.raises(RewardError, match="time"):
        grpo(config(reward={"time_limit_seconds": 0.5}), reward=hangs)


def test_stale_weights_stop_the_run(config, monkeypatch):
    from posttrain.rollouts.torch_engine import TorchEngine

    monkeypatch.setattr(TorchEngine, "load_weights", lambda self, named, policy_version: None)
    with pytest.raises(InvariantError, match="version"):
        grpo(config(), reward=vowels)


def test_wrong_temperature_stops_the_run(config, monkeypatch):
    from posttrain.training.learner import Learner

    logprobs = Learner.logprobs
    monkeypatch.setattr(
        Learner, "logprobs", lambda self, tokens, temperature, **rest: logprobs(self, tokens, 0.7, **rest)
    )
    monkeypatch.setattr("posttrain.recipes.policy_run.check_sampler_mismatch", lambda mismatch: None)
    with pytest.raises(InvariantError, match="ratio"):
        grpo(config(epochs_per_step=2), reward=vowels)


def test_one_update_per_rollout_needs_no_pass_before_it(config, monkeypatch):
    """Its own pass gives the old logprobs, and how well the engine agrees, with the same result."""
    from posttrain.training.learner import Learner

    passes = []
    logprobs = Learner.logprobs
    monkeypatch.setattr(
        Learner, "logprobs", lambda self, *given, **rest: passes.append(1) or logprobs(self, *given, **rest)
    )
    result = grpo(config(), reward=vowels)
    assert passes == []
    rows = read_metrics(result.run_folder / "metrics.jsonl")
    assert all(1.0 <= row["rollout_mismatch"] < 1.0001 for row in rows)
    grpo(config(epochs_per_step=2, output=result.run_folder.parent / "two"), reward=vowels)
    assert len(passes) == 2


def test_disk_full_while_saving_keeps_the_old_checkpoint(config, monkeypatch, tmp_path):
    from posttrain.training import checkpoint

    settings = config(checkpoint={"every_steps": 1, "keep": 1}, steps=3)
    write, calls = checkpoint._write_file, []

    def full_later(path, chunks):
        calls.append(path)
        if len(calls) > 3:  # three files of the first checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, chunks)

    monkeypatch.setattr(checkpoint, "_write_file", full_later)
    with pytest.raises(CheckpointError, match="No space left"):
        grpo(settings, reward=vowels)
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step_00000001"]
    result = grpo(settings, reward=vowels)
    assert [row["step"] for row in read_metrics(result.run_folder)] == [1, 2, 3]


def test_a_finished_run_goes_on_with_more_steps(config):
    grpo(config(), reward=vowels)
    longer = grpo(config(steps=4), reward=vowels)
    assert [row["step"] for row in read_metrics(longer.run_folder)] == [1, 2, 3, 4]
    assert json.loads((longer.model_folder / "posttrain.json").read_text()) == {"step": 4}


def test_a_changed_data_file_is_refused_on_resume(config, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(5)))
    grpo(config(data={"task": None, "path": path}), reward=vowels)
    path.write_text("".join(json.dumps({"prompt": f"tell {i}"}) + "\n" for i in range(5)))
    with pytest.raises(CheckpointError, match="not those that this run was started with"):
        grpo(config(data={"task": None, "path": path}, steps=3), reward=vowels)


def test_a_start_that_failed_does_not_stand_in_the_way_of_its_correction(config):
    with pytest.raises(ModelError):
        grpo(config(model="/no/such/model"), reward=vowels)
    with pytest.raises(DataError, match="made for"):
        grpo(config(sampling={"max_new_tokens": 10_000}), reward=vowels)
    assert grpo(config(), reward=vowels).model_folder is not None


def test_another_reward_is_refused_on_resume_and_changed_code_is_told(config, capsys):
    grpo(config(), reward=vowels)
    with pytest.raises(ConfigError, match="rewarded by vowels"):
        grpo(config(steps=3))
    namespace: dict = {}
    exec(
        "def vowels(prompts, completions, **columns): return [float(len(t)) for t in completions]", namespace
    )
    grpo(config(steps=3), reward=namespace["vowels"])
    assert "the code of a reward function is not what" in capsys.readouterr().out


def test_a_python_reward_cannot_be_evaluated_from_the_run_alone(config):
    from posttrain.commands.evaluate import config_of_run

    result = grpo(config(), reward=vowels)
    with pytest.raises(ConfigError, match="rewarded by a Python function"):
        config_of_run(result.run_folder, [])


def test_fewer_steps_than_are_done_are_refused(config):
    grpo(config(), reward=vowels)
    with pytest.raises(ConfigError, match="2 steps of this run are done"):
        grpo(config(steps=1), reward=vowels)


def test_what_was_measured_at_the_first_start_is_kept(config, monkeypatch):
    """Free memory decides how a step is split, and the split decides the last bits."""
    from posttrain.training import memory

    whole = grpo(config(), reward=vowels)
    budget = json.loads((whole.run_folder / "facts.json").read_text())["microbatch_tokens"]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 20)
    for path in (whole.run_folder / "checkpoints").iterdir():
        shutil.rmtree(path)
    again = grpo(config(), reward=vowels)
    assert json.loads((again.run_folder / "facts.json").read_text())["microbatch_tokens"] == budget
    other = grpo(config(output=whole.run_folder.with_name("other")), reward=vowels)
    assert json.loads((other.run_folder / "facts.json").read_text())["microbatch_tokens"] < budget


def test_the_saved_configuration_is_the_resolved_one(config):
    from posttrain.config.loading import load_config

    settings = config(optimizer={"max_grad_norm": None}, reward={"memory_limit_mb": None})
    result = grpo(settings, reward=vowels)
    assert load_config(GRPOConfig, result.run_folder / "config.toml") == settings
