"""Settings: what beats what, and errors that name the file, the line and the nearest key."""

from __future__ import annotations

import pytest

from posttrain.config.grpo import GRPOConfig
from posttrain.config.loading import load_config
from posttrain.config.ppo import PPOConfig
from posttrain.config.rank import RankByRuleConfig
from posttrain.config.sft import SFTConfig
from posttrain.errors import ConfigError

GOOD = """\
model = "tiny"
[data]
task = "sums"
task_options = {digits = 2, flag = true}
[[reward.terms]]
name = "exact_answer"
options = {mode = "whole"}
[[reward.terms]]
name = "format_reward"
weight = 0.5
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return write


def message(path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(GRPOConfig, path, overrides)
    return str(error.value)


def test_file_beats_default_and_override_beats_file(write):
    path = write(GOOD + "[sampling]\ntemperature = 0.7\nmax_new_tokens = 9\n")
    config = load_config(GRPOConfig, path, ["--sampling.temperature", "0.5", "--steps=3"])
    assert (config.sampling.temperature, config.sampling.max_new_tokens, config.steps) == (0.5, 9, 3)
    assert config.sampling.top_p == 1.0


def test_types_survive_the_file_and_the_command_line(write):
    config = load_config(
        GRPOConfig,
        write(GOOD),
        ["--data.task-options.digits", "3", "--optimizer.max-grad-norm", "none", "--sampling.stop", "END"],
    )
    assert config.data.task_options == {"digits": 3, "flag": True}
    assert config.reward.terms[0].options == {"mode": "whole"}
    assert config.optimizer.max_grad_norm is None
    assert config.sampling.stop == ("END",)


def test_lists_and_flags_on_the_command_line(write):
    config = load_config(
        GRPOConfig,
        write(GOOD),
        ["--sampling.stop", '["a", "b"]', "--compute.gradient-checkpointing", "--lora.targets", '["q_proj"]'],
    )
    assert config.sampling.stop == ("a", "b")
    assert config.compute.gradient_checkpointing is True
    assert config.lora is not None
    assert config.lora.targets == ("q_proj",)


@pytest.mark.parametrize(
    ("extra", "line", "words"),
    [
        ("[sampling]\ntemprature = 1\n", 12, "Did you mean 'sampling.temperature'?"),
        ("[samplng]\n", 11, "Did you mean 'sampling'?"),
        ("[[reward.terms]]\nnme = 'x'\n", 12, "Did you mean 'reward.terms.2.name'?"),
        ("[sampling]\n# a comment\ntemperature = -1\n", 13, "greater than 0 (got -1)"),
        ("[algorithm]\npreset = 'gpro'\n", 12, "'grpo'"),
        ("[optimizer]\nlearning_rate = 'fast'\n", 12, "valid number"),
        ("[lora]\nr = 0\n", 12, "lora.r"),
    ],
)
def test_error_names_file_line_and_nearest_key(write, extra, line, words):
    path = write(GOOD + extra)
    text = message(path)
    assert text.startswith(f"{path}:{line}: ")
    assert words in text


def test_error_in_a_second_term_names_its_own_line(write):
    path = write(GOOD.replace("weight = 0.5", "weight = 'heavy'"))
    assert message(path).startswith(f"{path}:10: reward.terms.1.weight")


def test_error_of_an_override_says_command_line(write):
    path = write(GOOD)
    assert message(path, "--sampling.temperature", "-1").startswith("command line: sampling.temperature")
    assert "Did you mean 'sampling.temperature'?" in message(path, "--sampling.temprature", "1")
    assert "needs a value" in message(path, "--steps")
    assert "not a setting" in message(path, "steps")
    assert "is a value, not a section" in message(path, "--steps.more", "1")


def test_missing_file_names_the_nearest_one(write):
    path = write(GOOD)
    assert f"Did you mean {path}?" in message(path.with_name("onw.toml"))


def test_broken_toml_names_the_line(write):
    text = message(write("model = 'a'\n[algorithm\n"))
    assert "not valid TOML" in text
    assert "line 2" in text


def test_prompts_come_from_one_source(write):
    assert "neither data.path nor data.task is set" in message(write("[data]\n"))
    assert "are both set" in message(write("[data]\npath = 'x.jsonl'\ntask = 'sums'\n"))


def test_preset_is_overridden_by_what_is_written(write):
    config = load_config(GRPOConfig, write(GOOD + "[algorithm]\npreset = 'dapo'\nclip_high = 0.3\n"))
    assert (config.algorithm.clip_high, config.algorithm.aggregation) == (0.3, "token")
    config = load_config(
        GRPOConfig, write(GOOD + "[algorithm]\npreset = 'dapo'\n"), ["--algorithm.preset", "rloo"]
    )
    assert config.algorithm.baseline == "leave_one_out"


@pytest.mark.parametrize("text", ["kl = 'k1'\nkl_coef = 0.1", "baseline = 'leave_one_out'"])
def test_settings_that_cannot_work_together_are_refused(write, text):
    assert "own.toml:11: algorithm" in message(write(GOOD + f"[algorithm]\n{text}\n"))


def test_more_minibatches_than_responses_is_refused(write):
    path = write(
        "minibatches_per_step = 9\nprompts_per_step = 2\nresponses_per_prompt = 4\n[data]\ntask = 'sums'\n"
    )
    assert "more than the 8 responses" in message(path)


def test_resolved_config_round_trips(write):
    config = load_config(GRPOConfig, write(GOOD))
    assert GRPOConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        (
            SFTConfig,
            [],
            "data is not set: give a TOML file with a [data] section, or --data.path FILE",
        ),
        (
            SFTConfig,
            ["--data.max-length", "9"],
            "data.path is not set: give a TOML file with data.path = ..., or --data.path FILE",
        ),
        (RankByRuleConfig, [], "samples is not set: give a TOML file with samples = ..., or --samples FILE"),
        (RankByRuleConfig, [], "reward is not set: give a TOML file with a [reward] section"),
    ],
)
def test_what_has_no_default_is_asked_for(kind, words, said):
    with pytest.raises(ConfigError) as caught:
        load_config(kind, None, words)
    assert any(line.startswith(said) for line in str(caught.value).splitlines())


def test_what_a_file_lacks_is_asked_for_with_the_file(write):
    path = write("steps = 3\n")
    assert message(path) == f"{path}: data is not set: add a [data] section, or --data.path FILE"


@pytest.mark.parametrize(
    ("kind", "word", "meant"),
    [
        (GRPOConfig, "--learning-rate", "'optimizer.learning_rate'"),
        (PPOConfig, "--learning-rate", "'optimizer.learning_rate'"),
        (PPOConfig, "--critic.learning-rate", "'critic.optimizer.learning_rate'"),
        (GRPOConfig, "--stepss", "'steps'"),
    ],
)
def test_a_settings_name_without_its_section_finds_it(kind, word, meant):
    with pytest.raises(ConfigError) as caught:
        load_config(kind, None, [word, "1"])
    assert f"Did you mean {meant}?" in str(caught.value)
