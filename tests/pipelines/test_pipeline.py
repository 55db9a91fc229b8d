"""A pipeline on a tiny model: what runs, what is skipped and why, and that memory is given back."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path

import pytest
from tests.pipelines.small_pipelines import SmallPipeline

from posttrain.errors import ConfigError, DataError
from posttrain.models.language_model import LanguageModel
from posttrain.pipelines import pipeline
from posttrain.pipelines.record import read_records

SKIPPED = dict.fromkeys(("samples", "ranked", "policy", "score"), "skipped")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model) -> Path:
    """A folder with a whole pipeline in it, done once; tests work on copies."""
    small = SmallPipeline(tmp_path_factory.mktemp("finished"), model)
    result = small.run()
    assert result.is_complete
    assert [stage.action for stage in result.stages] == ["ran"] * 4
    return small.output


@pytest.fixture
def small(tmp_path, finished, model) -> SmallPipeline:
    small = SmallPipeline(tmp_path, model)
    shutil.copytree(finished, small.output)
    # The same prompts stand elsewhere now: a setting that is a path has changed, which the records must know.
    records = small.output / "pipeline.json"
    records.write_text(records.read_text().replace(str(finished.parent), str(tmp_path)))
    return small


def test_stages_hand_their_outputs_to_each_other(finished):
    samples = [json.loads(line) for line in (finished / "samples/responses.jsonl").read_text().splitlines()]
    rankings = [json.loads(line) for line in (finished / "ranked/rankings.jsonl").read_text().splitlines()]
    assert [row["responses"] for row in rankings] == [row["responses"] for row in samples]
    for row in rankings:
        scores = [max(0.0, 1 - abs(len(text) - 9) / 9) for text in row["responses"]]
        assert [sorted(set(scores), reverse=True).index(score) for score in scores] == row["ranks"]
    first_samples = (finished / "policy/samples.jsonl").read_text()
    assert '"a?"' in first_samples or '"b?"' in first_samples or '"c?"' in first_samples
    score = json.loads((finished / "score/evaluation.json").read_text())
    last = json.loads((finished / "policy/evaluations.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2
    # The same model on the same prompts with the same seed: the same answers.
    assert score["prompts"] == last["prompts"]
    records = read_records(finished)
    assert {record.status for record in records.values()} == {"done"}
    assert records["policy"].numbers.keys() == {"before", "after"}
    assert records["score"].numbers["after"] == records["policy"].numbers["after"]


def test_nothing_changed_nothing_runs(small, monkeypatch):
    for recipe in ("run_sample", "run_rank", "run_grpo", "run_evaluate"):
        monkeypatch.setattr(f"posttrain.pipelines.stage_runs.{recipe}", lambda _: pytest.fail("it ran"))
    before = {path: path.stat().st_mtime_ns for path in small.output.rglob("*") if path.is_file()}
    assert small.actions() == SKIPPED
    assert {stage.action for stage in small.plan().values()} == {"skip"}
    after = {path: path.stat().st_mtime_ns for path in small.output.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {small.output / ".lock"}


def test_a_changed_setting_runs_the_stage_and_what_depends_on_it(small):
    small.stages["policy"]["optimizer"]["learning_rate"] = 2e-2
    planned = small.plan()
    assert [stage.action for stage in planned.values()] == ["skip", "skip", "run", "depends"]
    assert "optimizer.learning_rate: 0.01 in the run -> 0.02 now" in planned["policy"].reason
    assert "@policy" in planned["score"].reason
    before = (small.output / "policy/model/model.safetensors").read_bytes()
    assert small.actions() == {**SKIPPED, "policy": "ran", "score": "ran"}
    assert (small.output / "policy/model/model.safetensors").read_bytes() != before
    assert (small.output / "replaced/policy/model/model.safetensors").read_bytes() == before
    assert any("optimizer.learning_rate" in note for note in small.notes)
    assert any("replaced/policy" in note for note in small.notes)
    assert small.actions() == SKIPPED


@pytest.mark.slow
def test_what_comes_out_as_it_was_changes_nothing_behind_it(small):
    small.stages["policy"]["evaluation"]["num_prompts"] = 3
    assert small.plan()["score"].action == "depends"
    assert small.actions() == {**SKIPPED, "policy": "ran"}


@pytest.mark.slow
def test_the_content_of_a_file_counts_not_its_time(small):
    small.rows.write_text(small.rows.read_text())
    assert small.actions() == SKIPPED
    small.rows.write_text(small.rows.read_text().replace("c?", "d?"))
    planned = small.plan()
    assert "the content of data.path (a file) changed" in planned["samples"].reason
    assert small.actions() == {**SKIPPED, "samples": "ran", "ranked": "ran", "policy": "ran", "score": "ran"}


def test_rankings_corrected_by_hand_are_an_input(small):
    """What people change in an output reaches the stages behind it, and is not overwritten."""
    small.stages["again"] = {"recipe": "rank", "rankings": "@ranked"}
    file = small.output / "ranked/rankings.jsonl"
    # Of responses that were cut by length nothing could be learned, and the stage would say so.
    rows = [json.loads(line) | {"finish_reasons": ["eos"] * 3} for line in file.read_text().splitlines()]

    def correct(ranks: list[int]) -> None:
        rows[0]["ranks"] = ranks
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    correct([0, 1, 2])
    assert small.actions() == {**SKIPPED, "again": "ran"}
    correct([2, 1, 0])
    assert small.actions() == {**SKIPPED, "again": "ran"}
    again = (small.output / "again/rankings.jsonl").read_text().splitlines()
    assert json.loads(again[0])["ranks"] == [2, 1, 0]


def test_a_deleted_output_is_made_again(small):
    shutil.rmtree(small.output / "ranked")
    assert "is gone" in small.plan()["ranked"].reason
    assert small.actions() == {**SKIPPED, "ranked": "ran"}


def test_the_folder_may_be_moved(small, tmp_path):
    small.output = shutil.move(small.output, tmp_path / "elsewhere")
    small.output = Path(small.output)
    assert small.actions() == SKIPPED


@pytest.mark.slow
def test_only_from_and_skip(small):
    small.stages["samples"]["seed"] = 4
    small.stages["policy"]["seed"] = 4
    assert small.actions(only="score") == {
        "samples": "taken as it is", "ranked": "taken as it is", "policy": "taken as it is", "score": "skipped"
    }  # fmt: skip
    assert small.actions(from_stage="policy", skip=("score",)) == {
        "samples": "taken as it is", "ranked": "taken as it is", "policy": "ran", "score": "taken as it is"
    }  # fmt: skip
    assert [stage.action for stage in small.plan(skip=("samples",)).values()] == [
        "taken",
        "skip",
        "skip",
        "run",
    ]


def test_people_are_waited_for(small, tmp_path):
    theirs = tmp_path / "by-people.jsonl"
    small.stages["ranked"] = {"recipe": "rank", "samples": "@samples", "rankings": str(theirs)}
    with pytest.raises(DataError, match="waits for people"):
        small.run()
    rows = [json.loads(line) for line in (small.output / "samples/responses.jsonl").read_text().splitlines()]
    for (
        row
    ) in rows:  # people rank what ended; what was cut by length is left out where rankings are learned from
        row |= {"ranks": [1, 0, 1], "finish_reasons": ["eos"] * 3}
    theirs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Started and not finished, but its inputs are others now.
    assert small.actions() == {**SKIPPED, "ranked": "ran"}
    assert read_records(small.output)["ranked"].outcome == "3 rankings of people"


@pytest.mark.slow
def test_an_error_in_a_stage_leaves_it_to_be_gone_on_with(small, monkeypatch):
    small.stages["policy"]["seed"] = 5

    def fails(config):
        (config.output).mkdir(parents=True)
        raise DataError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("posttrain.pipelines.stage_runs.run_grpo", fails)
        with pytest.raises(DataError, match="the disk is full"):
            small.run()
    assert small.plan()["policy"].action == "resume"
    assert small.actions() == {**SKIPPED, "policy": "resumed", "score": "ran"}


@pytest.mark.slow
def test_models_of_a_stage_are_gone_before_the_next(small, monkeypatch):
    alive: list[weakref.ref] = []
    at_start: list[int] = []
    original = LanguageModel.__init__

    def counted(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        at_start.append(sum(reference() is not None for reference in alive))
        alive.append(weakref.ref(self.model))

    monkeypatch.setattr(LanguageModel, "__init__", counted)
    for stage in small.stages.values():
        stage["seed"] = 6
    small.stages["policy"]["algorithm"] = {"kl_coef": 0.0}  # no reference: one model a stage
    result = small.run()
    assert [stage.action for stage in result.stages] == ["ran"] * 4
    gc.collect()
    assert len(alive) == 3  # sample, grpo, evaluate
    assert at_start == [0, 0, 0]
    assert all(reference() is None for reference in alive)


def test_two_at_once_are_refused(small):
    from filelock import FileLock

    with FileLock(small.output / ".lock"), pytest.raises(ConfigError, match="another process"):
        small.run()


def test_a_folder_of_something_else_is_refused(small, tmp_path):
    small.output = tmp_path
    with pytest.raises(ConfigError, match="no pipeline"):
        small.run()


def test_dry_run_is_no_argument_of_the_function(small):
    with pytest.raises(ConfigError, match=r"plan\(config\)"):
        pipeline(small.config(dry_run=True))
