"""What differs between the configuration of a run and the one it is asked to go on with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from posttrain.errors import ConfigError

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not what it was; `key` is dotted, the values are as in the two configurations.

    A setting that one side lacks (or has as None, which TOML cannot write) has the value None there.
    """

    key: str
    saved: Any
    new: Any
    is_allowed: bool

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.saved)} in the run -> {_shown(self.new)} now"


def compare_configs(
    saved: Mapping[str, Any], new: Mapping[str, Any], allowed: AbstractSet[str]
) -> list[Difference]:
    """The settings that differ, sorted by key; [] when there are none.

    `allowed` holds dotted keys, and `section.*` for everything in a section. Tuples equal lists, paths equal
    their text, 1 equals 1.0, but True does not equal 1.
    """
    before, after = dict(_flat(saved, "")), dict(_flat(new, ""))
    differences = []
    for key in sorted(before.keys() | after.keys()):
        old, now = before.get(key, _MISSING), after.get(key, _MISSING)
        if not _same(old, now):
            old, now = (None if value is _MISSING else value for value in (old, now))
            differences.append(Difference(key, old, now, _is_allowed(key, allowed)))
    return differences


def refuse_changes(differences: Sequence[Difference]) -> None:
    """ConfigError that lists every difference that is not allowed; nothing when all are."""
    refused = [difference for difference in differences if not difference.is_allowed]
    if refused:
        lines = "\n".join(f"  {difference}" for difference in refused)
        raise ConfigError(
            "this run cannot go on with these settings, because it would no longer be one experiment:\n"
            f"{lines}\nSet them back to resume, or choose another output folder to start a new run."
        )


def _flat(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{dotted}.")
        elif value is not None and not isinstance(value, Mapping):  # an empty section says nothing
            yield dotted, value


def _same(left: Any, right: Any) -> bool:
    left, right = (str(value) if isinstance(value, PurePath) else value for value in (left, right))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return not compare_configs(left, right, frozenset())
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    return bool(left == right)


def _is_allowed(key: str, allowed: AbstractSet[str]) -> bool:
    if key in allowed:
        return True
    parents = key.split(".")
    return any(".".join([*parents[:depth], "*"]) in allowed for depth in range(1, len(parents) + 1))


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"  # as TOML writes it
    return str(value) if isinstance(value, PurePath) else repr(value)
