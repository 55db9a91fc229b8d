"""What `--help` shows is what a command understands."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

from posttrain.cli.command_help import help_app
from posttrain.cli.command_table import COMMANDS
from posttrain.config.loading import load_config
from posttrain.config.rank import RankByRuleConfig
from posttrain.errors import ConfigError


def help_of(command: str, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        help_app(command)([*command.split(), "--help"])
    return str(capsys.readouterr().out)


def complaint(kind: type, words: list[str]) -> str:
    """What is said of the settings; values that are wrong or missing are no matter of help."""
    try:
        load_config(kind, None, words)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_that_is_shown_is_a_setting(command, capsys, monkeypatch):
    flags = re.findall(r"(?m)^│ +(--[\w.-]+)", help_of(command, capsys, monkeypatch))
    assert flags
    for flag in flags:
        words = [flag] if "no-" in flag else [flag, "1"]
        assert "unknown setting" not in complaint(COMMANDS[command].kind, words)


def test_a_rule_has_no_verifier_to_fall_back_on(capsys, monkeypatch):
    assert "Empty: the" in help_of("grpo", capsys, monkeypatch)
    assert "Empty: the" not in help_of("rank-by-rule", capsys, monkeypatch)
    with pytest.raises(ConfigError, match=r"reward\.terms: there is no term, so there is no rule"):
        load_config(RankByRuleConfig, {"samples": "a.jsonl", "reward": {"terms": []}})


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_every_command_has_what_it_names(command):
    module, name = command.runs.split(":")
    assert callable(getattr(importlib.import_module(f"posttrain.commands.{module}"), name))
    if command.first_word:
        assert command.first_word in command.kind.model_fields


def test_help_imports_no_settings():
    """They take longer than the rest of `posttrain --help`."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom posttrain.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
            "print([name for name in sys.modules if name.startswith(('posttrain.config.', 'pydantic', 'torch'))])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == "[]"
