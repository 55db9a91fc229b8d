"""Settings of `posttrain compare`, and what the files that it is given are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator

from posttrain.config.grpo import GRPOConfig
from posttrain.config.loading import load_config
from posttrain.config.ppo import PPOConfig
from posttrain.config.reinforcement import ReinforcementConfig
from posttrain.config.sections import Section, as_toml_values
from posttrain.errors import ConfigError

COMPARABLE: dict[str, type[ReinforcementConfig]] = {"ppo": PPOConfig, "grpo": GRPOConfig}
"""Command -> its configuration."""

SAME = ("model", "data", "reward", "sampling", "evaluation", "compute", "lora", "seed")
"""What must be equal, or the runs would differ in more than their algorithm."""


class CompareConfig(Section):
    """Several runs from one start with one reward, and what each of them cost and reached."""

    files: tuple[str, ...]
    """Configuration files of ppo and grpo; write ppo:FILE or grpo:FILE where a file could be both."""
    output: Path = Path("runs/compare")
    """Folder of the comparison: one run's folder for each file, compare.json and compare.png."""
    allow_differences: bool = False
    """Compare although start model, data, reward, sampling, evaluation, compute, lora or seed differ."""

    @field_validator("files")
    @classmethod
    def _several(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        if len(files) < 2:
            raise ValueError("a comparison needs two files or more: posttrain compare ppo.toml grpo.toml")
        return files


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison: what it is called, its command, its file and its settings."""

    name: str
    command: str
    file: Path
    config: ReinforcementConfig


def plan_runs(config: CompareConfig) -> list[PlannedRun]:
    """One run for each file, every setting checked. ConfigError for a file that no or any command could take."""
    runs: list[PlannedRun] = []
    for given in config.files:
        prefix, colon, rest = given.partition(":")
        has_prefix = bool(colon) and prefix in COMPARABLE
        file = Path(rest if has_prefix else given)
        command = prefix if has_prefix else _command_of(file)
        name = _unused(file.stem, [run.name for run in runs])
        loaded = load_config(COMPARABLE[command], file, ["--output", str(config.output / name)])
        runs.append(PlannedRun(name, command, file, loaded))
    return runs


def shared_settings(run: PlannedRun) -> dict[str, object]:
    """Those of its settings that must be the same in all runs."""
    values = as_toml_values(run.config)
    return {name: values[name] for name in SAME if name in values}


def _command_of(file: Path) -> str:
    """The only command whose settings the file's are, or the one that the file is named after."""
    errors = {}
    for command, kind in COMPARABLE.items():
        try:
            load_config(kind, file)
        except ConfigError as error:
            errors[command] = error
    fitting = [command for command in COMPARABLE if command not in errors]
    words = [word for word in re.split(r"[^a-z]+", file.stem.lower()) if word in COMPARABLE]
    named = [word for word in words if word in fitting] or fitting
    if len(set(named)) == 1:
        return named[0]
    if fitting:
        raise ConfigError(
            f"{file} could be for any of {', '.join(fitting)}. Say which, as in {fitting[0]}:{file}, or name the "
            "file after its command."
        )
    # Named after a command: its error is the one that helps.
    raise errors[words[0] if words else next(iter(errors))]


def _unused(name: str, taken: list[str]) -> str:
    candidates = (name if n == 1 else f"{name}_{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)
