from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from posttrain.errors import ConfigError, DataError
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.session_facts import hide_secrets

HOLD = """
import sys
from posttrain.runs.run_folder import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold_in_another_process(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_cannot_write_one_run_and_kill_9_frees_it(tmp_path):
    path = tmp_path / "run"
    other = hold_in_another_process(path)
    try:
        with (
            pytest.raises(ConfigError, match=rf"process {other.pid} .*another output"),
            RunFolder(path).lock(),
        ):
            pytest.fail("the lock was given twice")
    finally:
        other.kill()
        other.communicate()
    with RunFolder(path).lock():
        assert json.loads((path / ".lock-owner").read_text())["pid"] == os.getpid()
    with RunFolder(path).lock():
        pass


def test_one_process_cannot_lock_twice_either(tmp_path):
    with (
        RunFolder(tmp_path).lock(),
        pytest.raises(ConfigError, match=str(os.getpid())),
        RunFolder(tmp_path).lock(),
    ):
        pytest.fail("the lock was given twice")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match=r"thesis\.tex"), RunFolder(tmp_path).lock():
        pytest.fail("locked")
    with pytest.raises(ConfigError, match="is a file"), RunFolder(tmp_path / "thesis.tex").lock():
        pytest.fail("locked")


def test_config_is_saved_and_read(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(DataError, match="holds no run"):
        folder.read_config()
    with folder.lock():
        assert not folder.is_run
        folder.write_config('model = "é"\n[data]\ntask = "sums"\n')
        assert folder.is_run
        with pytest.raises(ConfigError, match="not TOML"):
            folder.write_config("a = ")
    assert folder.read_config() == {"model": "é", "data": {"task": "sums"}}
    folder.config.write_text("a = ")
    with pytest.raises(DataError, match="cannot be read"):
        folder.read_config()


def test_sessions_say_what_ran_and_hold_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecretvalue123")
    monkeypatch.setattr(sys, "argv", ["posttrain", "grpo", "--hub.token", "topsecret", "--seed=3"])
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        for resumed in (None, 5):
            folder.record_session(
                seeds={"seed": 3},
                device="cpu",
                num_threads=2,
                resumed_from_step=resumed,
                changed=["steps: 1"],
            )
    text = folder.description.read_text()
    first, second = folder.read_sessions()
    assert first["versions"]["torch"]
    assert first["num_threads"] == 2
    assert first["seeds"] == {"seed": 3}
    assert first["command_line"] == ["posttrain", "grpo", "--hub.token", "[hidden]", "--seed=3"]
    assert second["resumed_from_step"] == 5
    assert "secret" not in text
    folder.description.write_text("{")
    with pytest.raises(DataError, match="history"):
        folder.read_sessions()


def test_secrets_are_hidden_and_settings_about_tokens_are_not():
    arguments = "x --api-key=abc --wandb.password p --compute.microbatch_tokens 4096 --model=smollm2"
    assert hide_secrets(arguments.split()) == [
        *["x", "--api-key=[hidden]", "--wandb.password", "[hidden]"],
        *["--compute.microbatch_tokens", "4096", "--model=smollm2"],
    ]
    assert hide_secrets(
        ["--store=postgresql://me:pw@host/db", "hf_abcdefghijkl", "--sampling.max_new_tokens=9"]
    ) == [*["--store=[hidden]", "[hidden]", "--sampling.max_new_tokens=9"]]


def test_neither_room_imports_torch_or_matplotlib():
    code = (
        "import sys, posttrain.runs, posttrain.evaluation\n"
        "print(sorted({'torch', 'matplotlib', 'rich', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
