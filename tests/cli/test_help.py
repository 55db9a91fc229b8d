"""What `--help` shows is what a command understands."""

from __future__ import annotations

import re

import pytest

from posttrain.cli import _COMMANDS, app
from posttrain.config.loading import load_config
from posttrain.config.rank import RankByRuleConfig
from posttrain.errors import ConfigError


def help_of(command: str, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        app([*command.split(), "--help"])
    return str(capsys.readouterr().out)


def complaint(kind: type, words: list[str]) -> str:
    """What is said of the settings; values that are wrong or missing are no matter of help."""
    try:
        load_config(kind, None, words)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_flag_that_is_shown_is_a_setting(command, capsys, monkeypatch):
    flags = re.findall(r"(?m)^│ +(--[\w.-]+)", help_of(command, capsys, monkeypatch))
    assert flags
    for flag in flags:
        words = [flag] if "no-" in flag else [flag, "1"]
        assert "unknown setting" not in complaint(_COMMANDS[command][1], words)


def test_a_rule_has_no_verifier_to_fall_back_on(capsys, monkeypatch):
    assert "Empty: the" in help_of("grpo", capsys, monkeypatch)
    assert "Empty: the" not in help_of("rank-by-rule", capsys, monkeypatch)
    with pytest.raises(ConfigError, match=r"reward\.terms: there is no term, so there is no rule"):
        load_config(RankByRuleConfig, {"samples": "a.jsonl", "reward": {"terms": []}})
