"""What the page on pre-training and its example show is valid, and the example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posttrain.config.loading import load_config
from posttrain.config.pretrain import NewModelSection, PretrainConfig
from posttrain.data.text_sources import PLAIN_SUFFIXES, RECORD_SUFFIXES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pretrain.md").read_text()
EXAMPLE = ROOT / "examples/pretrain.toml"


def test_the_settings_for_tinyshakespeare_are_those_of_the_bench(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import tinyshakespeare

    (tmp_path / "own.toml").write_text(re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[0])
    shown = load_config(PretrainConfig, tmp_path / "own.toml")
    bench = tinyshakespeare.RUNS["nanogpt"] | {
        "data": {"path": "input.txt"},
        "tokenizer": {"kind": "characters"},
    }
    same = {"output": shown.output, "evaluation": shown.evaluation}
    assert PretrainConfig.model_validate(bench | same) == shown


def test_kinds_of_files_and_settings_of_a_model_are_on_the_page():
    for name in (*PLAIN_SUFFIXES, *RECORD_SUFFIXES, *NewModelSection.model_fields):
        assert f"`{name}`" in PAGE, name


def test_the_example_is_valid():
    assert load_config(PretrainConfig, EXAMPLE).data.path == "pydoc"


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    from posttrain import pretrain

    config = load_config(
        PretrainConfig,
        EXAMPLE,
        ["--steps", "2", "--output", str(tmp_path / "run"), "--evaluation.max-tokens", "1000"],
    )
    result = pretrain(config)
    assert result.model_folder is not None
    assert result.after["loss"] < result.before["loss"]
