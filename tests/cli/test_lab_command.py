"""`posttrain lab advantages` as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from posttrain.cli import main
from posttrain.config.lab import LabConfig
from posttrain.config.loading import load_config
from posttrain.lab import measure, worked_examples

SMALL = ["--max-tokens", "4", "--critic-draws", "2", "--num-trajectories", "500", "--num-darts", "20"]
FILES = ["advantages-curves.png", "advantages-dartboard.png", "advantages.json"]


def words_of(text: str) -> str:
    """The text with every run of white space and table lines as one blank."""
    return " ".join(text.replace("│", " ").split())


def test_it_prints_tables_and_writes_pictures_and_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    output = tmp_path / "lab"
    main(["lab", "advantages", *SMALL, "--output", str(output)])
    printed = words_of(capsys.readouterr().out)
    for expected in (
        "exact critic: the true V of every state",
        "learnt 32 critic: means over 32 responses",
        "MSE K 2",
        "best λ for a mean of n estimates",
        "KL(B, A), total 0.030 0.02915 -0.00085",
        "mean squared errors lie within 2 standard errors",
    ):
        assert expected in printed
    assert "…" not in printed, "a number is cut off on a narrow terminal"
    assert sorted(path.name for path in output.iterdir()) == FILES
    for name in FILES[:2]:
        assert (output / name).read_bytes().startswith(b"\x89PNG")
        assert 10_000 < (output / name).stat().st_size < 200_000
    record = json.loads((output / "advantages.json").read_text())
    assert record["settings"]["max_tokens"] == 4
    rows = {(row["critic"], row["gae_lambda"], row["horizon"]): row for row in record["estimators"]}
    assert len(rows) == 5 * 8 * 4
    for row in rows.values():
        assert row["mse"] == pytest.approx(row["bias_squared"] + row["variance"])
    assert (
        rows["biased", 1.0, None]["token_bias_squared"] < 1e-20 < rows["biased", 1.0, 2]["token_bias_squared"]
    )
    assert rows["biased", 0.9, 1]["mse"] == rows["biased", 0.0, None]["mse"]
    assert [e["name"] for e in record["worked_examples"] if not e["agrees"]] == ["KL(B, A), total"]


def test_the_same_settings_write_the_same_bytes(tmp_path, capsys):
    for name in ("one", "two"):
        main(["lab", "advantages", *SMALL, "--critics", "exact", "--output", str(tmp_path / name)])
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_file_with_overrides(tmp_path, capsys):
    (tmp_path / "lab.toml").write_text('lambdas = [1.0, 0.0, 0.5]\ncritics = ["noisy"]\nmax_tokens = 3\n')
    output = tmp_path / "lab"
    main(
        [
            "lab", "advantages", str(tmp_path / "lab.toml"), "--horizons", "2", "--critic-draws", "1",
            "--num-darts", "10", "--responses-per-dart", "1", "--output", str(output),
        ]
    )  # fmt: skip
    record = json.loads((output / "advantages.json").read_text())
    assert record["settings"]["lambdas"] == [0.0, 0.5, 1.0]
    assert record["settings"]["horizons"] == [2]
    assert {row["critic"] for row in record["estimators"]} == {"noisy"}
    assert len(record["dartboards"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["advantages", "--lambdas", "1.5"], "less than or equal to 1"),
        (["advantages", "--lambdas", "[0.5, -0.1]"], "greater than or equal to 0"),
        (["advantages", "--lambdas", "[]"], "at least one value"),
        (["advantages", "--horizons", "0"], "greater than or equal to 1"),
        (["advantages", "--critics", "learned"], "Did you mean 'learnt'?"),
        (["advantages", "--critics", "[]"], "at least one value"),
        (["advantages", "--critic-error", "0"], "greater than 0"),
        (["advantages", "--critic-rollouts", "0"], "greater than or equal to 1"),
        (["advantages", "--max-tokens", "20"], "less than or equal to 9"),
        (["advantages", "--critic", "exact"], "Did you mean 'critics'?"),
        (["advantages", "--output", "/proc/no/lab"], "cannot be written"),
        (["advantages", "nothing.toml"], "there is no such configuration file"),
        (["advantage"], 'Did you mean "advantages"?'),
    ],
)
def test_wrong_input_gets_one_clear_message(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["lab", *words])
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert not list(tmp_path.rglob("advantages*"))


def test_an_unknown_key_in_the_file_names_its_line(tmp_path, capsys):
    path = tmp_path / "lab.toml"
    path.write_text("seed = 1\nhorizon = [2]\n")
    with pytest.raises(SystemExit):
        main(["lab", "advantages", str(path)])
    assert f"{path}:2: unknown setting 'horizon'. Did you mean 'horizons'?" in capsys.readouterr().err


def test_existing_results_are_not_overwritten(tmp_path, capsys):
    kept = tmp_path / "advantages-curves.png"
    kept.write_text("mine")
    with pytest.raises(SystemExit):
        main(["lab", "advantages", *SMALL, "--output", str(tmp_path)])
    assert "exists already" in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [kept]


def test_help_is_there_at_both_levels(capsys):
    for words, expected in (
        (["lab", "--help"], "advantages"),
        (["lab", "advantages", "--help"], "--horizons"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code in (0, None)
        assert expected in capsys.readouterr().out


def test_one_value_is_a_list_of_one():
    config = load_config(LabConfig, None, ["--lambdas", "0.5", "--critics", "noisy", "--horizons", "3"])
    assert (config.lambdas, config.critics, config.horizons) == ((0.5,), ("noisy",), (3,))
    repeated = LabConfig(lambdas=(1.0, 0.5, 1.0), critics=("noisy", "exact", "noisy"))
    assert (repeated.lambdas, repeated.critics) == ((0.5, 1.0), ("noisy", "exact"))


def test_the_page_names_every_setting_picture_and_example():
    page = (Path(__file__).parents[2] / "docs/lab.md").read_text()
    for setting in LabConfig.model_fields:
        assert f"`{setting}`" in page, setting
    for name in ("lab-dartboard.png", "lab-curves.png"):
        assert f"pictures/{name}" in page
        assert (Path(__file__).parents[2] / "docs/pictures" / name).stat().st_size < 200_000
    for example in worked_examples():
        assert re.search(
            rf"^\| {re.escape(example.name)} \| .* \| {example.ours:.5f} \|", page, flags=re.MULTILINE
        )


@pytest.mark.slow
def test_the_numbers_of_the_page_are_those_of_the_defaults():
    lab = measure(LabConfig())
    page = (Path(__file__).parents[2] / "docs/lab.md").read_text()
    rows = re.findall(
        r"^\| ([a-z]+(?: \d+)?) \| ([\d.]+) \| (whole|\d) \| (.*) \|$", page, flags=re.MULTILINE
    )
    assert len(rows) == 35
    for critic, gae_lambda, horizon, numbers in rows:
        errors = lab.cell(critic, float(gae_lambda), None if horizon == "whole" else int(horizon)).errors
        found = (errors.bias_squared, errors.token_bias_squared, errors.variance, errors.mse)
        assert [float(x) for x in numbers.split(" | ")] == pytest.approx(found, abs=6e-4)
    for critic in lab.critics:
        best = [(n, lab.best_lambda(critic.name, n)) for n in lab.config.averaged_over]
        shown = (f"{x:g} ({lab.cell(critic.name, x).errors.after_averaging(n):.3f})" for n, x in best)
        assert f"| {critic.name} | {' | '.join(shown)} |" in page
