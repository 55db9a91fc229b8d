"""The command as a user types it, wrong input included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

import posttrain


def posttrain_command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posttrain", *words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder, seed=1)
    return folder


def test_version():
    assert posttrain_command("--version").stdout.strip() == posttrain.__version__


def test_help_names_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom posttrain.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for command in ("demo", "evaluate", "generate", "grpo"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["demo", "evaluate", "generate", "grpo"])
def test_help_of_a_command_explains_its_settings(command):
    done = posttrain_command(command, "--help")
    assert done.returncode == 0
    assert "--seed" in done.stdout
    assert "Names" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grop"], "grpo"),
        (["grpo", "nothing.toml"], "there is no such configuration file"),
        (["grpo", "--data.task", "sum"], "did you mean 'sums'"),
        (["grpo", "--data.task", "sums", "--data.task-options.digit", "2"], "did you mean 'digits'"),
        (
            ["grpo", "--data.task", "sums", "--sampling.temprature", "1"],
            "Did you mean 'sampling.temperature'",
        ),
        (["grpo", "--data.task", "sums", "--sampling.temperature", "hot"], "valid number"),
        (["grpo", "--data.task", "sums", "--compute.device", "cuda:9"], "cannot be used here"),
        (["grpo", "--data.path", "nothing.jsonl"], "does not exist"),
        (["grpo"], "data"),
        (["generate"], "give either --prompt"),
        (["generate", "--prompt", "a", "--model", "./no/model"], "no model at"),
        (["evaluate", "--data.path", "a.jsonl"], "nothing to evaluate on"),
        (["evaluate", "--data.held-out-path", "a.jsonl"], "does not exist"),
        (["evaluate", "--data.task", "sums", "--output", "/proc/no/file.json"], "cannot be written"),
    ],
)
def test_wrong_input_gets_one_clear_message(words, message, tmp_path):
    done = posttrain_command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("checkpoints"))


@pytest.mark.slow
def test_generate_prints_and_writes(model, tmp_path):
    words = [
        "generate",
        "--model",
        str(model),
        "--sampling.max-new-tokens",
        "5",
        "--responses-per-prompt",
        "2",
    ]
    done = posttrain_command(*words, "--prompt", "hello")
    assert done.returncode == 0, done.stderr
    assert "> hello" in done.stdout
    again = posttrain_command(*words, "--prompt", "hello")
    assert again.stdout == done.stdout, "the same seed gives the same responses"
    output = tmp_path / "out.jsonl"
    done = posttrain_command(*words, "--data.task", "sums", "--num-prompts", "3", "--output", str(output))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == 6
    assert all(row["num_tokens"] <= 5 and row["answer"] for row in rows)
    done = posttrain_command(*words, "--data.task", "sums", "--output", str(output))
    assert done.returncode == 2
    assert "exists already" in done.stderr


@pytest.mark.slow
def test_evaluate_prints_pass_at_k_and_writes_json(model, tmp_path):
    words = ["--model", str(model), "--data.task", "sums", "--evaluation.num-prompts", "3"]
    output = tmp_path / "found.json"
    done = posttrain_command("evaluate", *words, "--sampling.max-new-tokens", "5", "--output", str(output))
    assert done.returncode == 0, done.stderr
    for k in (1, 2, 4):
        assert f"pass@{k}" in done.stdout
    assert json.loads(output.read_text())["num_prompts"] == 3


def test_a_second_process_cannot_write_the_same_run(tmp_path, model):
    from posttrain.runs.run_folder import RunFolder

    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        done = posttrain_command(
            "grpo", "--model", str(model), "--data.task", "sums", "--output", str(folder.path)
        )
    assert done.returncode == 2
    assert str(os.getpid()) in done.stderr
