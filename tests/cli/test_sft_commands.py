"""sft, inspect and reject-sample as a user types them, wrong input included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_models import save_tiny_model

from posttrain.cli import main
from posttrain.config.loading import load_config
from posttrain.config.reject_sample import RejectSampleConfig

ROOT = Path(__file__).parents[2]

ROWS = [
    {"prompt": "Hi", "completion": "the \x1b[31muser\u202e"},
    {"messages": [{"role": "user", "content": "a <b>"}, {"role": "assistant", "content": "é"}]},
    {"prompt": "Hi", "completion": "the \x1b[31muser\u202e"},
    {"prompt": "x" * 100, "completion": "never seen"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", seed=1)


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*words: object) -> None:
    main([str(word) for word in words])


def fails(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_inspect_in_a_pipe_marks_what_is_learned(data, model, capsys):
    run("inspect", data, "--model", model, "--max-length", "60")
    found = capsys.readouterr().out
    assert "[marked] learned  {read} only read" in found
    assert "[the][ ][\\x1b][[][3][1][m][user]" in found
    assert "{<|im_start|>}{user}{\\n}\n{H}{i}{<|im_end|>}" in found
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert "own/3: " in found
    assert "dropped: the same as an earlier one" in found
    assert "dropped: nothing to learn is left after the cut" in found
    assert "4 demonstrations; trained on: 2 examples with 2 learned turns" in found
    assert (
        "1 dropped: nothing to learn is left in the first max_length = 60 tokens (the first is own/4)"
        in found
    )


def test_inspect_shows_as_many_as_asked_for_and_counts_all(data, model, capsys):
    run("inspect", data, "--model", model, "--num-examples", "1")
    found = capsys.readouterr().out
    assert "own/1: " in found
    assert "own/2: " not in found
    assert "4 demonstrations" in found


@pytest.mark.slow
def test_inspect_in_colour(data, model):
    done = subprocess.run(
        [sys.executable, "-m", "posttrain", "inspect", str(data), "--model", str(model), "--num-examples", "1"],
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert "\x1b[30;48;2;127;209;139m" in done.stdout  # black on green: learned
    assert "\\x1b" in done.stdout  # the data's own escape is shown, not sent
    assert "\x1b[31m" not in done.stdout


def test_inspect_on_a_page(data, model, tmp_path, capsys):
    run("inspect", data, "--model", model, "--output", tmp_path / "view.html")
    page = (tmp_path / "view.html").read_text()
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert ">&lt;</span>" in page  # the data's own markup is text
    assert page.count('class="target') + page.count('class="odd target') > 10
    assert "view" in capsys.readouterr().out
    assert "exists already" in fails(
        capsys, "inspect", data, "--model", model, "--output", tmp_path / "view.html"
    )


def test_inspect_shows_comparisons(tmp_path, model, capsys):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"prompt": "Hi", "chosen": "a b", "rejected": "c"}\n{"prompt": "Hi", "chosen": "a", "rejected": "a"}\n'
    )
    run("inspect", path, "--model", model)
    found = capsys.readouterr().out
    assert "response 1, rank 0: 4 tokens, 1 read for a reward" in found
    assert "{a}{ }{b}[<|im_end|>]" in found
    assert "1 ranking of 2 responses" in found
    assert "1 dropped: all responses have the same text" in found


@pytest.mark.slow
def test_sft_from_the_command_line_twice(data, model, tmp_path, capsys):
    words = ["sft", "--model", model, "--data.path", data, "--output", tmp_path / "run", "--epochs", "2"]
    words += ["--data.held-out-share", "0.6", "--compute.dtype", "float32"]
    run(*words)
    found = capsys.readouterr().out
    assert "1 dropped: the same as an earlier one (the first is own/3)" in found
    assert "held-out after:" in found
    assert f"model    {tmp_path / 'run/model'}" in found
    run(*words)
    assert "complete" in capsys.readouterr().out


@pytest.mark.slow
def test_the_example_runs_and_what_the_page_shows_is_valid(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    run(
        "sft",
        "examples/sft.toml",
        "--model",
        model,
        "--output",
        tmp_path / "run",
        "--steps",
        "2",
        "--data.max-length",
        "200",
    )
    assert "held-out after:" in capsys.readouterr().out
    page = (ROOT / "docs/sft.md").read_text()
    (tmp_path / "own.jsonl").write_text(re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)[0])
    run("inspect", tmp_path / "own.jsonl", "--model", model)
    assert "3 demonstrations; trained on: 3 examples" in capsys.readouterr().out
    (tmp_path / "own.toml").write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[0])
    assert load_config(RejectSampleConfig, tmp_path / "own.toml").keep_per_prompt == 2


def test_reject_sample_from_the_command_line(tmp_path, capsys):
    samples = tmp_path / "responses.jsonl"
    samples.write_text('{"prompt": "3 + 4?", "responses": ["7", "8", "it is 7"], "answer": "7"}\n')
    words = ["reject-sample", "--samples", samples, "--output", tmp_path / "kept.jsonl"]
    words += ["--reward.terms", '[{name = "exact_answer", options = {mode = "last_number"}}]']
    run(*words)
    found = capsys.readouterr().out
    assert "1 prompt, 3 responses, 1 kept with a mean score of 1" in found
    assert "1 rejected: below min_score" in found
    assert "1 rejected: good, but more than keep_per_prompt" in found
    assert "exists already" in fails(capsys, *words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["sft"], "data"),
        (["sft", "--data.path", "none.jsonl"], "does not exist"),
        (["sft", "--data.pth", "none.jsonl"], "Did you mean 'data.path'"),
        (["sft", "--data.path", "own.jsonl", "--data.train-on", "first"], "'all' or 'last'"),
        (["sft", "--data.path", "bad.jsonl"], "bad.jsonl, line 1: the conversation has no assistant turn"),
        (["sft", "--data.path", "own.jsonl", "--model", "./nothing"], "no tokenizer"),
        (["inspect"], "path"),
        (["inspect", "none.jsonl"], "does not exist"),
        (["inspect", "bad.jsonl"], "bad.jsonl, line 1: the conversation has no assistant turn"),
        (["inspect", "own.jsonl", "--num-exmples", "1"], "Did you mean 'num_examples'"),
        (["reject-sample"], "there is nothing to choose from"),
        (["reject-sample", "--samples", "none.jsonl"], "need a reward"),
    ],
)
def test_wrong_input_gets_one_clear_message(words, reason, data, tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    monkeypatch.chdir(tmp_path)
    assert reason in fails(capsys, *words)
    assert not (tmp_path / "runs").exists()
