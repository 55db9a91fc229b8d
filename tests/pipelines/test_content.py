"""What a stage reads from disk is found in every form in which settings can name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrain.config.loading import load_config, read_settings
from posttrain.config.pipeline import PipelineConfig
from posttrain.config.pretrain import PretrainConfig
from posttrain.errors import ConfigError
from posttrain.pipelines.content import check_user_inputs, digests_of
from posttrain.pipelines.stages import read_stages


def pretraining(folder: Path, data: str):
    file = folder / "own.toml"
    text = f"[stages.base]\nrecipe = 'pretrain'\nnew_model = {{}}\nsteps = 1\ndata = {{{data}}}\n"
    file.write_text(text)
    config = load_config(PipelineConfig, file, ["--output", str(folder / "out")])
    settings = read_settings(file)[0]
    (stage,) = read_stages(config, settings)
    assert isinstance(stage.config, PretrainConfig)
    return stage, settings


FORMS = [
    ("path = '{0}/*.txt'", "data.path"),
    ("path = ['{0}/*.txt']", "data.path.0"),
    ("path = ['{0}/a.txt']", "data.path.0"),
    ("path = 'pydoc', held_out_path = '{0}/[ab].txt'", "data.held_out_path"),
    ("path = 'pydoc', held_out_path = ['{0}/a.txt', '{0}/*.txt']", "data.held_out_path.1"),
]


@pytest.mark.parametrize(("data", "name"), FORMS)
def test_a_changed_file_of_a_list_or_pattern_is_noticed(tmp_path, data, name):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("one")
    stage, settings = pretraining(tmp_path, data.format(texts))
    check_user_inputs(stage, settings)
    before = digests_of(stage)
    assert before[name]
    (texts / "a.txt").write_text("two")
    assert digests_of(stage)[name] != before[name]


@pytest.mark.parametrize(("data", "name"), FORMS)
def test_a_missing_file_of_a_list_or_pattern_is_said_before_anything_runs(tmp_path, data, name):
    stage, settings = pretraining(tmp_path, data.format(tmp_path / "texts"))
    with pytest.raises(ConfigError, match=r"own\.toml:5: stages\.base\.data\..*there is nothing at"):
        check_user_inputs(stage, settings)
