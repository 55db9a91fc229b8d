"""Tasks of the package reasoning-gym, split like our own; `pip install 'posttrain[reasoning-gym]'` brings it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from posttrain.data.tasks import REASONING_GYM, Split, check_split, digest, is_held_out
from posttrain.errors import ConfigError
from posttrain.types import Prompt

_DRAWS_PER_PROBLEM = 64
"""Entries set aside for one problem: all on the wrong side by chance once in 10^8 held-out problems."""
_MAX_PROBLEMS = 1_000_000


@dataclass(frozen=True)
class ReasoningGymTask:
    """One data set of reasoning-gym; `parameters` are its own configuration."""

    dataset: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    verifier = "reasoning_gym"

    @property
    def verifier_options(self) -> Mapping[str, Any]:
        """None: the verifier finds what it needs in the columns."""
        return {}

    @property
    def name(self) -> str:
        """`reasoning_gym:` and the data set's name."""
        return REASONING_GYM + self.dataset

    def size(self, split: Split) -> int | None:
        """None: problems are drawn."""
        return None

    def problem(self, index: int, split: Split, seed: int = 0) -> Prompt:
        """Problem `index` of the split, with the entry that the verifier needs among its columns."""
        check_split(split)
        if not 0 <= index < _MAX_PROBLEMS:
            raise IndexError(
                f"problems of {self.name} are counted from 0 to {_MAX_PROBLEMS - 1}, not {index}"
            )
        made = _dataset(self.dataset, json.dumps(dict(self.parameters), sort_keys=True), seed)
        for draw in range(_DRAWS_PER_PROBLEM):
            entry = made[index * _DRAWS_PER_PROBLEM + draw]
            if is_held_out(self.name, entry["question"]) == (split == "held_out"):
                columns = {
                    "answer": entry["answer"],
                    "task": self.name,
                    "reasoning_gym_name": self.dataset,
                    "reasoning_gym_parameters": dict(self.parameters),
                    "reasoning_gym_entry": entry,
                }
                return Prompt(f"{self.name}/{split}/{index}", entry["question"], columns)
        raise ConfigError(
            f"{self.name} has too few different problems for a {split} split; enlarge its parameters"
        )

    def fingerprint(self) -> str:
        """A digest of the name and all parameters."""
        return digest(self.name, json.dumps(dict(self.parameters), sort_keys=True))


def reasoning_gym_task(dataset: str, parameters: Mapping[str, Any]) -> ReasoningGymTask:
    """The task; ConfigError when the package is absent, the name unknown, or the parameters refused by it."""
    names = _package().factory.DATASETS
    if dataset not in names:
        near = difflib.get_close_matches(dataset, names, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"it has {len(names)}, such as {', '.join(sorted(names)[:5])}"
        )
        raise ConfigError(f"reasoning-gym has no data set {dataset!r}; {hint}")
    for reserved in ("size", "seed"):
        if reserved in parameters:
            raise ConfigError(
                f"the task {REASONING_GYM}{dataset}: {reserved!r} is set by posttrain; leave it out"
            )
    task = ReasoningGymTask(dataset, dict(parameters))
    try:
        _dataset(dataset, json.dumps(dict(parameters), sort_keys=True), 0)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"reasoning-gym refuses the parameters of {dataset!r}: {error}") from error
    return task


@lru_cache(maxsize=16)
def _dataset(name: str, parameters: str, seed: int) -> Any:
    size = _MAX_PROBLEMS * _DRAWS_PER_PROBLEM
    return _package().create_dataset(name, **json.loads(parameters), size=size, seed=seed)


def _package() -> Any:
    try:
        import reasoning_gym
    except ImportError as error:
        raise ConfigError(
            f"tasks named {REASONING_GYM}NAME need the package reasoning-gym, which is not installed ({error}); run "
            "pip install 'posttrain[reasoning-gym]'"
        ) from error
    return reasoning_gym
