"""From the words of a command line to a command with its settings. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posttrain.cli.command_table import COMMANDS, Command, command_in
from posttrain.errors import ConfigError, PosttrainError


def main(words: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0, with 2 after an error of the user's, with 130 after Ctrl-C."""
    words = list(sys.argv[1:] if words is None else words)
    name = command_in(words)
    try:
        if name is not None and not {"--help", "-h"} & set(words):
            command = COMMANDS[name]
            command.run(_read_config(name, command, words[len(name.split()) :]))
        else:
            _print_help(name, words)
    except PosttrainError as error:
        _fail(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _print_help(name: str | None, words: Sequence[str]) -> None:
    from cyclopts.exceptions import CycloptsError

    from posttrain.cli.command_help import help_app

    try:
        help_app(name)(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error))


def _read_config(name: str, command: Command, words: Sequence[str]) -> Any:
    """The settings, by `load_config`, whose errors name the file and the line."""
    from posttrain.config.loading import load_config

    kind = command.kind
    path = Path(words[0]) if words and not words[0].startswith("--") else None
    if path is not None and path.is_dir() and name == "evaluate":
        from posttrain.commands.evaluate import config_of_run

        return config_of_run(path, words[1:])
    if command.first_word and path is not None and path.suffix.lower() != ".toml":
        return load_config(kind, {command.first_word: words[0]}, words[1:])
    if name in ("store import", "store export"):
        return _read_store_config(name, kind, words)
    if name == "compare":
        files = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
        return load_config(kind, {"files": files}, words[len(files) :])
    if name == "pipeline":
        from posttrain.commands.pipeline import read_pipeline

        return read_pipeline(path, words[1:] if path else words)
    return load_config(kind, path, words[1:] if path else words)


def _read_store_config(name: str, kind: type, words: Sequence[str]) -> Any:
    """Of STORE and files before the settings, or of a TOML file."""
    from posttrain.config.loading import load_config

    first = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
    rest = words[len(first) :]
    if not first or (len(first) == 1 and first[0].lower().endswith(".toml")):
        return load_config(kind, Path(first[0]) if first else None, rest)
    values: dict[str, Any] = {"store": first[0]}
    if name == "store import":
        values |= {"files": first[1:]} if first[1:] else {}
    elif first[1:]:
        values["file"] = first[1]
        if first[2:]:
            raise ConfigError(f"an export goes into one file, and {', '.join(first[1:])} were named")
    return load_config(kind, values, rest)


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(2)
