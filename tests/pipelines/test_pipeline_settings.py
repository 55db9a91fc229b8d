"""What is wrong with a pipeline is said before any of it runs, with file, line and the nearest name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.pipelines.small_pipelines import SmallPipeline

from posttrain.config.loading import load_config, read_settings
from posttrain.config.pipeline import PipelineConfig
from posttrain.errors import ConfigError, PosttrainError
from posttrain.pipelines.content import digest_of
from posttrain.pipelines.stage_kinds import STAGE_KINDS
from posttrain.pipelines.stages import Stage, read_stages


@pytest.fixture
def small(tmp_path, model) -> SmallPipeline:
    return SmallPipeline(tmp_path, model)


def parsed(text: str, folder: Path) -> dict[str, Stage]:
    (folder / "own.toml").write_text(text)
    config = load_config(PipelineConfig, folder / "own.toml", ["--output", str(folder / "out")])
    return {stage.name: stage for stage in read_stages(config, read_settings(folder / "own.toml")[0])}


BASE = """
[stages.samples]
recipe = "sample"
data.task = "sums"
[stages.policy]
recipe = "grpo"
data.task = "sums"
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE.replace('"grpo"', '"grop"'), "own.toml:6: there is no recipe 'grop'. Did you mean 'grpo'?"),
        ('[stages.a]\ndata.task = "sums"', "own.toml:1: [stages.a] needs a recipe, one of pretrain, sft,"),
        (BASE + "step = 3", "own.toml:8: unknown setting 'stages.policy.step'. Did you mean 'stages.policy.steps'?"),
        (BASE + "steps = 0", "own.toml:8: stages.policy.steps: Input should be greater than or equal to 1 (got 0)"),
        (BASE + 'output = "x"', "own.toml:8: a stage's output lies in the pipeline's folder"),
        (BASE + 'model = "@sample"', "no stage 'sample' before this one. Did you mean 'samples'?"),
        (BASE + 'model = "@policy"', "own.toml:8: stages.policy.model = '@policy': a stage cannot take its own"),
        (BASE + 'model = "@later"\n[stages.later]\nrecipe = "sample"\ndata.task = "sums"', "the stage 'later' comes later"),
        (BASE + 'model = "@samples.respones"', "no output 'respones'. Did you mean 'responses'?"),
        (BASE + 'model = "@samples"', "own.toml:8: stages.policy.model = '@samples' is samples, and this setting takes a language model."),
        (BASE + 'reward.terms = [{model = "@samples"}]', "this setting takes a reward model"),
        (BASE + '[stages.a]\nrecipe = "rank"\nsamples = "@policy"', "'@policy' is a language model, and this setting takes samples"),
        ('[stages."a b"]\nrecipe = "grpo"', "own.toml:1: 'a b' cannot be a stage's name"),
        ('[stages.replaced]\nrecipe = "grpo"', "cannot be a stage's name"),
        ("output = 'x'", "stages is not set: add a [stages] section"),
        ("[stages]", "there are no stages"),
        ("sed = 3\n" + BASE, "own.toml:1: unknown setting 'sed'. Did you mean 'seed'?"),
        ('[stages.a]\nrecipe = "rank"', "there is nothing to rank"),
        ('[stages.a]\nrecipe = "rank"\nsamples = "a.jsonl"', "there is no rule"),
    ],
)  # fmt: skip
def test_wrong_settings(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        parsed(text, tmp_path)
    assert message in str(caught.value)


def test_what_the_pipeline_gives_for_all(tmp_path):
    stages = parsed(
        'seed = 7\nmodel = "one"\n[compute]\ndtype = "float32"\nrollout_rows = 8\n'
        + BASE
        + 'compute.rollout_rows = 16\nseed = 2\n[stages.ranked]\nrecipe = "rank"\nsamples = "@samples"\n'
        "reward.terms = [{name = 'contains', options = {text = '@@x'}}]\n",
        tmp_path,
    )
    assert stages["samples"].settings["seed"] == 7
    assert stages["samples"].settings["model"] == "one"
    assert stages["samples"].settings["compute"]["rollout_rows"] == 8
    assert stages["policy"].settings["seed"] == 2
    assert (
        stages["policy"].settings["compute"] | {"dtype": "float32", "rollout_rows": 16}
        == stages["policy"].settings["compute"]
    )
    ranked = stages["ranked"]
    assert ranked.config.samples == tmp_path / "out/samples/responses.jsonl"  # type: ignore[attr-defined]
    assert ranked.settings["samples"] == "@samples"
    assert ranked.settings["reward"]["terms"][0]["options"] == {"text": "@x"}
    assert ranked.needs == {"samples"}


def test_every_recipe_can_be_a_stage():
    for kind in STAGE_KINDS.values():
        settings = kind.config_class().model_fields
        assert "output" in settings, kind.recipe
        assert callable(kind.runner())
        for setting in kind.takes:
            assert setting.split(".")[0] in settings, (kind.recipe, setting)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": {"data": {"path": "nothing.jsonl"}}}, "there is nothing at"),
        ({"samples": {"model": "./no/model"}}, "own.toml:"),
        ({"policy": {"data": {"task": "sum"}}}, "did you mean 'sums'"),
        ({"policy": {"reward": {"terms": [{"name": "contain"}]}}}, "did you mean 'contains'"),
        ({"policy": {"reward": {"terms": [{"function": "nothing.py:f"}]}}}, "there is nothing at"),
        ({"ranked": {"reward": {"terms": [{"name": "regular_expression", "options": {"pattern": "(a"}}]}}}, "malformed"),
        ({"policy": {"reward": {"terms": []}, "data": {"path": "rows.jsonl"}}}, "need a reward"),
    ],
)  # fmt: skip
def test_what_would_fail_later_is_said_before_anything_runs(small, tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posttrain.pipelines.stage_runs.run_sample", lambda _: pytest.fail("it ran"))
    for name, settings in changes.items():
        small.stages[name] |= settings
    for start in (small.plan, small.run):
        with pytest.raises(PosttrainError, match=message.replace("(", r"\(")):
            start()
    assert not small.output.exists()


def test_a_bad_line_of_data_is_said_before_anything_runs(small):
    small.rows.write_text('{"prompt": "a?"}\n{"prmpt": "b?"}\n')
    with pytest.raises(PosttrainError, match="line 2: no column 'prompt'; did you mean 'prmpt'"):
        small.run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": "polcy"}, r"--only polcy: there is no such stage. Did you mean 'policy'"),
        ({"from_stage": "no"}, "--from no: there is no such stage"),
        ({"skip": ("rankd",)}, "Did you mean 'ranked'"),
        ({"only": "score"}, "takes @policy, but 'policy' is not to run and has no output yet"),
        ({"skip": ("samples",)}, "'ranked' takes @samples"),
        ({"only": "samples", "skip": ("samples",)}, "leave no stage to run"),
    ],
)
def test_wrong_choices(small, changes, message):
    small.stages["score"]["model"] = "@policy"
    with pytest.raises(ConfigError, match=message):
        small.plan(**changes)


def test_a_dry_run_writes_nothing(small):
    assert {stage.action for stage in small.plan().values()} == {"run"}
    assert not small.output.exists()


def test_from_the_command_line(small, capsys):
    from posttrain.commands.pipeline import read_pipeline, run_pipeline

    read = read_pipeline(small.write(), ["--from", "policy", "--skip", "score,ranked", "--dry-run"])
    assert (read.config.from_stage, read.config.skip) == ("policy", ("score", "ranked"))
    assert (
        read_pipeline(small.file, ["--from=score", "--stages.policy.steps", "7"]).config.stages["policy"][
            "steps"
        ]
        == 7
    )
    run_pipeline(read_pipeline(small.file, ["--dry-run"]))
    shown = capsys.readouterr().out
    assert "nothing is run" in shown
    assert "not done yet" in shown


def test_digests_are_of_contents(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "inner").mkdir(parents=True)
        (folder / "a.txt").write_text("a")
        (folder / "inner/b.txt").write_text("b")
    assert digest_of(one) == digest_of(two)
    assert digest_of(one / "a.txt") == digest_of(two / "a.txt")
    assert digest_of(tmp_path / "one/*.txt") != digest_of(tmp_path / "one/inner/*.txt")
    before = digest_of(two)
    (two / "inner/b.txt").rename(two / "inner/c.txt")
    assert digest_of(two) != before
    (two / "inner/c.txt").rename(two / "inner/b.txt")
    (two / "a.txt").write_text("A")
    assert digest_of(two) != before


def test_a_damaged_record_is_an_error_with_a_way_out(small):
    small.output.mkdir()
    (small.output / "pipeline.json").write_text(json.dumps({"format": 9, "stages": {}}))
    with pytest.raises(PosttrainError, match="Move it away"):
        small.plan()
