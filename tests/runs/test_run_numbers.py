"""What a comparison reads from the folders of its runs, and what it says of them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from posttrain.errors import DataError
from posttrain.runs.comparison_picture import plot_comparison
from posttrain.runs.comparison_table import comparison_rows, what_the_note_says
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_numbers import run_numbers


def made_run(folder, *, algorithm: str, memory: float, update: float, held: dict[str, int], steps: int = 4):
    folder.mkdir()
    lines = {
        "metrics": [{"step": n, "reward_mean": n / 10, "reference_kl": n / 100} for n in range(1, steps + 1)],
        "timings": [
            {
                "step": n,
                "step_seconds": 10.0 + update,
                "generate_seconds": 10.0,
                "update_seconds": update,
                "peak_memory_bytes": memory,
            }
            for n in range(1, steps + 1)
        ],
        "evaluations": [{"step": n, "accuracy": n / 4, "standard_error": 0.01} for n in (0, 2, 4)],
    }
    for name, rows in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.toml").write_text(
        'prompts_per_step = 4\nresponses_per_prompt = 8\n[algorithm]\nkl = "k3"\nkl_coef = 0.1\n'
    )
    (folder / "facts.json").write_text(json.dumps({"parameters_held": held}))
    return run_numbers(RunFolder(folder), name=folder.name, algorithm=algorithm)


@pytest.fixture
def runs(tmp_path):
    ppo = made_run(
        tmp_path / "ppo",
        algorithm="ppo",
        memory=2000.0 * 2**20,
        update=20.0,
        held={"policy": 100_000, "reference": 100_000, "critic": 100_000, "reward_model": 0},
    )
    grpo = made_run(
        tmp_path / "grpo",
        algorithm="grpo",
        memory=1500.0 * 2**20,
        update=10.0,
        held={"policy": 100_000, "reference": 100_000, "critic": 0, "reward_model": 0},
    )
    return [ppo, grpo]


def test_numbers(runs):
    ppo = runs[0]
    assert (ppo.steps, ppo.responses, ppo.seconds) == (4, 128, 120.0)
    assert (ppo.reward_first, ppo.reward_last) == (pytest.approx(0.25), pytest.approx(0.25))
    assert [(point.step, point.seconds, point.score) for point in ppo.held_out] == [
        (0, 0.0, 0.0),
        (2, 60.0, 0.5),
        (4, 120.0, 1.0),
    ]
    assert ppo.peak_memory_bytes == 2000 * 2**20
    assert ppo.reference_kl == 0.04
    assert json.loads(json.dumps(ppo.to_dict()))["parameters_held"]["critic"] == 100_000


def test_the_sentence_says_what_was_measured(runs):
    said = what_the_note_says(runs)
    assert said is not None
    assert "about 50 % less" in said
    assert "33 % less parameters held" in said
    assert "25 % less peak memory" in said
    assert "50 % less time to update" in said
    assert "33 % less time for a response" in said
    assert what_the_note_says(runs[:1]) is None
    assert "more" in str(what_the_note_says([runs[0], made_more(runs[1])]))


def test_the_note_is_left_out_where_steps_differ_in_their_responses(runs):
    ppo, grpo = runs
    said = str(what_the_note_says([ppo, dataclasses.replace(grpo, responses=grpo.responses * 2)]))
    assert "not checked" in said
    assert "32 responses" in said
    assert "64" in said
    assert "Measured" not in said


def test_different_kl_estimators_are_not_put_beside_each_other_as_comparable(runs):
    ppo, grpo = runs
    table = dict(comparison_rows([ppo, dataclasses.replace(grpo, kl_estimator="k1")]))
    label = "KL from the start (not comparable: estimators differ)"
    assert table[label] == ["0.040 (k3)", "0.040 (k1)"]


def made_more(run):
    return dataclasses.replace(run, peak_memory_bytes=run.peak_memory_bytes * 2)


def test_the_table_and_the_picture(runs, tmp_path):
    table = dict(comparison_rows(runs))
    assert table["steps x responses"] == ["4 x 32", "4 x 32"]
    assert table["held-out score"][0] == "0.000 -> 1.000 +- 0.010"
    assert table["parameters held"][1] == "0.2 M (policy 0.1 M, reference 0.1 M)"
    assert table["KL from the start"] == ["0.040 (k3)", "0.040 (k3)"]
    plot_comparison(runs, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_steps_is_named(tmp_path):
    folder = RunFolder(tmp_path / "empty")
    folder.path.mkdir()
    folder.write_config("prompts_per_step = 1\nresponses_per_prompt = 1\n")
    with pytest.raises(DataError, match="no logged step"):
        run_numbers(folder, name="empty", algorithm="ppo")
