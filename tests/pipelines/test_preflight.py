"""Data and models of users that a later stage names are looked at before the first stage runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.pipelines.small_pipelines import SmallPipeline
from tests.tiny_models import save_tiny_model
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain.errors import DataError, PosttrainError


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory) -> Path:
    return save_tiny_reward_model(tmp_path_factory.mktemp("reward") / "tiny")


@pytest.fixture
def small(tmp_path, model, monkeypatch) -> SmallPipeline:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posttrain.pipelines.stage_runs.run_sample", lambda _: pytest.fail("it ran"))
    return SmallPipeline(tmp_path, model)


def lines(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def refused(small: SmallPipeline) -> str:
    """What is said of the pipeline, with nothing run or written."""
    with pytest.raises(PosttrainError) as caught:
        small.run()
    with pytest.raises(type(caught.value)) as planned:
        small.plan()
    assert str(planned.value) == str(caught.value)
    assert not small.output.exists()
    return str(caught.value)


GOOD = {"prompt": "a", "completion": "b"}
RANKED = {"prompt": "a", "responses": ["x", "y"], "ranks": [0, 1]}


@pytest.mark.parametrize(
    ("settings", "rows", "said"),
    [
        ({"recipe": "sft"}, [GOOD, {"prompt": "c", "completed": "d"}], "own.jsonl, line 2: no column 'completion'"),
        ({"recipe": "sft", "data": {"held_out_share": 0.999}}, [GOOD], "nothing is left to train on"),
        ({"recipe": "reward_model"}, [RANKED, {**RANKED, "ranks": [0]}], "own.jsonl, line 2: 1 ranks for 2 responses"),
        ({"recipe": "reward_model"}, [{**RANKED, "ranks": [0, 0]}], "all responses are tied"),
        ({"recipe": "reward_model", "data": {"held_out_share": 0.0, "annotator_weights": {"ana": 2.0}}},
         [{**RANKED, "annotator": "anna"}], "did you mean 'anna'"),
    ],
)  # fmt: skip
def test_data_of_a_later_stage_is_read_first(small, tmp_path, settings, rows, said):
    data = {"path": lines(tmp_path / "own.jsonl", *rows), **settings.get("data", {})}
    small.stages["later"] = settings | {"data": data}
    found = refused(small)
    assert said in found
    assert "own.toml:" in found
    assert "the stage 'later', data.path: " in found


def test_held_out_and_reference_files_beside_another_stages_data_are_read(small, tmp_path):
    small.stages["reward"] = {"recipe": "reward_model", "data": {"path": "@ranked"}}
    small.stages["reward"]["data"]["held_out_path"] = lines(tmp_path / "held.jsonl", {"prompt": "a"})
    assert "the stage 'reward', data.held_out_path: " in refused(small)
    del small.stages["reward"]["data"]["held_out_path"]
    small.stages["reward"]["calibration"] = {"path": lines(tmp_path / "best.jsonl", {"text": "alone"})}
    assert "the stage 'reward', calibration.path: " in refused(small)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "responses": ["x", "x"], "ranks": [0, 1]}, "nothing in it can be learned from: 1 dropped"),
        ({**RANKED, "finish_reasons": ["eos", "length"]}, "fewer than two responses are complete"),
        ({**RANKED, "ranks": ["best", "worst"]}, "line 1: rank 1 is 'best'"),
    ],
)  # fmt: skip
def test_rankings_of_people_that_teach_nothing_are_refused(small, tmp_path, row, said):
    theirs = lines(tmp_path / "people.jsonl", row)
    small.stages["ranked"] = {"recipe": "rank", "samples": "@samples", "rankings": theirs}
    found = refused(small)
    assert said in found
    assert "the stage 'ranked', rankings: " in found


def test_rankings_that_came_to_teach_nothing_meanwhile_are_refused_too(tmp_path):
    from posttrain.config.rank import RankStageConfig
    from posttrain.pipelines.stage_runs import run_rank

    theirs = lines(tmp_path / "people.jsonl", {"prompt": "a", "responses": ["x"], "ranks": [0]})
    config = RankStageConfig(output=tmp_path / "out/rankings.jsonl", rankings=Path(theirs))
    with pytest.raises(DataError, match="there is one response"):
        run_rank(config)
    assert not config.output.exists()


def test_samples_of_which_nothing_can_be_ranked_are_refused(small, tmp_path):
    small.stages["ranked"]["samples"] = lines(tmp_path / "one.jsonl", {"prompt": "a", "responses": ["x"]})
    assert "the stage 'ranked', samples: " in refused(small)
    small.stages["ranked"]["samples"] = "@samples"
    small.stages["ranked"]["reward"] = {
        "terms": [{"name": "length_reward", "options": {"unit": "tokens", "target": 3}}]
    }
    assert "counts tokens" in refused(small)


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).unlink()
    return folder


def test_a_reward_model_must_be_one(small, tmp_path, model, reward_model):
    def said(folder: Path) -> str:
        small.stages["policy"]["reward"] = {"terms": [{"model": str(folder)}]}
        found = refused(small)
        assert "the stage 'policy', reward.terms.0.model: " in found
        return found

    assert "is no reward or value model" in said(model)
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in said(tmp_path / "empty")
    broken = shutil.copytree(reward_model, tmp_path / "no-weights")
    assert "no weights" in said(without(broken, "model.safetensors"))
    broken = shutil.copytree(reward_model, tmp_path / "no-tokenizer")
    assert "no tokenizer" in said(without(broken, "tokenizer.json", "tokenizer_config.json"))
    broken = shutil.copytree(reward_model, tmp_path / "not-calibrated")
    assert "has no calibration" in said(without(broken, "reward_model.json"))


def test_a_good_reward_model_is_taken_without_its_weights(small, reward_model, monkeypatch):
    monkeypatch.setattr(
        "transformers.modeling_utils.PreTrainedModel.from_pretrained", lambda *_, **__: pytest.fail("loaded")
    )
    small.stages["policy"]["reward"] = {"terms": [{"model": str(reward_model)}]}
    small.stages["policy"]["evaluation"]["reward"] = {"terms": [{"model": str(reward_model)}]}
    assert {stage.action for stage in small.plan().values()} == {"run"}


def test_a_policy_must_be_a_language_model(small, reward_model):
    small.stages["policy"]["model"] = str(reward_model)
    found = refused(small)
    assert "the stage 'policy', model: " in found
    assert "not a language model" in found


def test_a_critic_must_fit_its_policy(small, tmp_path, model):
    from safetensors.torch import save_file
    from torch import zeros

    def said(**critic: Any) -> str:
        small.stages["policy"] |= {"recipe": "ppo", "responses_per_prompt": 1, "critic": critic}
        return refused(small)

    assert "has no value_head.safetensors" in said(kind="head", start=str(model))
    for width in (8, 64):
        folder = shutil.copytree(model, tmp_path / f"wide-{width}")
        save_file({"weight": zeros(1, width)}, folder / "value_head.safetensors")
    assert "holds a head of width 8, and the hidden states of" in said(
        kind="head", start=str(tmp_path / "wide-8")
    )
    (tmp_path / "empty").mkdir()
    assert "the stage 'policy', critic.start: " in said(start=str(tmp_path / "empty"))
    other = save_tiny_model(tmp_path / "other", seed=1)
    text = (other / "tokenizer.json").read_text()
    table = json.loads(text)
    word = next(word for word in table["model"]["vocab"] if word.isalpha())
    table["model"]["vocab"][word + "!!"] = table["model"]["vocab"].pop(word)
    table["model"]["merges"] = [m for m in table["model"]["merges"] if word not in "".join(m)]
    (other / "tokenizer.json").write_text(json.dumps(table))
    assert "whose vocabulary" in said(start=str(other))


def test_a_folder_that_is_none_is_told_from_an_id_of_the_hub(small):
    small.stages["policy"]["reward"] = {"terms": [{"model": "runs/reward/model"}]}
    assert "there is nothing at" in refused(small)


def test_an_error_while_a_stage_runs_names_the_stage(small, monkeypatch):
    def fail(_: object) -> None:
        raise DataError("the disk ate it")

    monkeypatch.setattr("posttrain.pipelines.stage_runs.run_sample", fail)
    with pytest.raises(DataError, match="the stage 'samples': the disk ate it"):
        small.run()
