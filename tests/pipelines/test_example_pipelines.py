"""The example pipelines run from their files, made small, on a tiny model: every recipe as a stage of another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain.config.loading import load_config, read_settings
from posttrain.config.pipeline import PipelineConfig
from posttrain.pipelines import pipeline
from posttrain.pipelines.stages import read_stages

ROOT = Path(__file__).parents[2]
EXAMPLES = {"rlhf": ROOT / "examples/rlhf.toml", "r1": ROOT / "examples/r1/pipeline.toml"}
SMALL = {
    # A random model ends one response of fifty tokens in six, and what was cut is ranked by nobody.
    "sample": {"num_prompts": 12, "sampling.max_new_tokens": 250},
    "sft": {"steps": 2, "epochs": None},
    "reward_model": {"steps": 2, "epochs": None},
    "grpo": {"steps": 1, "sampling.max_new_tokens": 16},
    "ppo": {"steps": 2, "prompts_per_step": 4, "sampling.max_new_tokens": 16},
    "reject_sample": {"min_score": 0.0},
    "evaluate": {"sampling.max_new_tokens": 16},
}
# A random model answers nothing right, and rankings of equals alone teach nothing.
BY_LENGTH = [{"name": "length_reward", "options": {"unit": "characters", "target": 100, "slack": 400}}]


def made_small(config: PipelineConfig, model: Path, output: Path) -> PipelineConfig:
    stages = {name: dict(table) for name, table in config.stages.items()}
    for table in stages.values():
        for key, value in SMALL.get(table["recipe"], {}).items():
            section, _, setting = key.rpartition(".")
            place = table
            if section:
                place = table[section] = dict(table.get(section, {}))
            if value is None:
                place.pop(setting, None)
            else:
                place[setting] = value
        if "evaluation" in table:
            table["evaluation"] = {**table["evaluation"], "num_prompts": 2, "samples_per_prompt": 2}
        if table["recipe"] == "rank":
            table["reward"] = {"terms": BY_LENGTH}
    return config.model_copy(update={"stages": stages, "model": str(model), "output": output})


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_valid(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(PipelineConfig, EXAMPLES[name])
    stages = read_stages(config, read_settings(EXAMPLES[name])[0])
    assert {stage.kind.recipe for stage in stages} >= {"sample", "rank", "reward_model", "grpo", "evaluate"}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    model = save_tiny_model(tmp_path / "tiny", seed=1, max_position_embeddings=1024)
    config = made_small(load_config(PipelineConfig, EXAMPLES[name]), model, tmp_path / "out")
    result = pipeline(config)
    assert result.is_complete
    assert {stage.action for stage in result.stages} == {"ran"}
    assert all(stage.output.exists() and stage.outcome for stage in result.stages)
    assert {stage.action for stage in pipeline(config).stages} == {"skipped"}


def test_the_r1_data_is_what_its_script_writes(tmp_path):
    """The same bytes again; no question of one file in another, in whatever order its numbers are."""
    script = ROOT / "examples/r1/make_data.py"
    copy = tmp_path / "make_data.py"
    copy.write_text(script.read_text())
    subprocess.run([sys.executable, str(copy)], check=True)
    names = ("cold_start", "questions", "held_out", "plain", "plain_held_out")
    for name in names:
        made = (tmp_path / f"{name}.jsonl").read_bytes()
        assert made == (script.parent / f"{name}.jsonl").read_bytes(), f"run {script}"
    read = {
        name: [json.loads(row) for row in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in names
    }
    asked = {
        "cold_start": [row["messages"][1]["content"] for row in read["cold_start"]],
        "questions": [row["prompt"][1]["content"] for row in read["questions"]],
        "held_out": [row["prompt"][1]["content"] for row in read["held_out"]],
    }
    assert [len(asked[name]) for name in names[:3]] == [40, 160, 40]
    held_out = {tuple(sorted(question)) for question in asked["held_out"]}
    for name in ("cold_start", "questions"):
        assert not held_out & {tuple(sorted(question)) for question in asked[name]}
    assert not set(asked["cold_start"]) & set(asked["questions"])


def test_the_worked_answers_earn_every_rule():
    from posttrain.rewards.language_consistency import language_consistency
    from posttrain.rewards.verifiers import exact_answer, format_reward

    for line in (ROOT / "examples/r1/cold_start.jsonl").read_text().splitlines():
        _, user, assistant = json.loads(line)["messages"]
        numbers = [int(word) for word in user["content"].strip("?").split() if word.isdigit()]
        columns = {"answer": str(sum(numbers))}
        for rule in (exact_answer, format_reward, language_consistency):
            assert rule(assistant["content"], columns) == 1.0
