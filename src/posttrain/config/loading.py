"""Configurations from a TOML file and `--a.b value` overrides; errors name file, line and nearest key."""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from posttrain.errors import ConfigError

Config = TypeVar("Config", bound=BaseModel)
Key = tuple[str | int, ...]


def load_config(
    kind: type[Config], source: Path | str | Mapping[str, Any] | None, overrides: Sequence[str] = ()
) -> Config:
    """A validated configuration of this kind; overrides beat the source, the source beats the defaults.

    `source` is a TOML file, or its contents as a mapping.
    `overrides` are command-line words: `--sampling.temperature 0.7`, `--optimizer.learning-rate=1e-5`.
    Raises ConfigError for a missing file, broken TOML, an unknown key or a value out of range.
    """
    source_text, values = read_settings(source)
    overridden = set()
    _refuse_unknown_keys(kind, values, (), source_text)
    for key, value in _parse_overrides(kind, overrides):
        _put(values, key, value)
        overridden.add(key)
    return _validated(kind, values, (), source_text, overridden)


def read_settings(source: Path | str | Mapping[str, Any] | None) -> tuple[SettingsText, dict[str, Any]]:
    """A TOML file (or its contents as a mapping): its text, which knows the line of each key, and its values."""
    if source is None or isinstance(source, Mapping):
        return SettingsText(None, ""), dict(source or {})
    text, values = _read(Path(source))
    return SettingsText(Path(source), text), values


def load_table(kind: type[Config], values: Mapping[str, Any], at: Key, source: SettingsText) -> Config:
    """A validated configuration from one table of a larger file; errors name the key with `at` before it.

    Raises ConfigError for an unknown key or a value out of range, with the file's line.
    """
    _refuse_unknown_keys(kind, values, at, source)
    return _validated(kind, values, at, source, set())


def _validated(
    kind: type[Config], values: Mapping[str, Any], at: Key, source: SettingsText, overridden: set[Key]
) -> Config:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(kind, error, at, source, overridden)) from None


class SettingsText:
    """A TOML text that knows on which line a key stands."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path, self.text = path, text

    def where(self, key: Key) -> str:
        """`file:line`, `command line` or the file alone, as far as it can be told."""
        if self.path is None:
            return "configuration"
        line = self._line(key)
        return f"{self.path}:{line}" if line else str(self.path)

    def _line(self, key: Key) -> int | None:
        names = tuple(str(part) for part in key if not isinstance(part, int))
        indices = [part for part in key if isinstance(part, int)]
        table: tuple[str, ...] = ()
        seen: dict[tuple[str, ...], int] = {}
        found: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := re.match(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(#.*)?$", line):
                table = _split_key(header[2])
                if header[1] == "[[":
                    seen[table] = seen.get(table, -1) + 1
                name = table
            elif entry := re.match(r"\s*([\w\-\"'. ]+?)\s*=", line):
                name = (*table, *_split_key(entry[1]))
            else:
                continue
            if not indices or seen.get(table, indices[0]) == indices[0]:
                found.setdefault(name, number)
        while names:  # a key inside an inline table stands on the line of the table
            if names in found:
                return found[names]
            names = names[:-1]
        return None


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")], n=1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else ""
        raise ConfigError(f"{path}: there is no such configuration file.{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _split_key(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section class inside an annotation such as `LoraSection | None` or `tuple[Term, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        if (section := _section_of(argument)) is not None:
            return section
    return None


def _refuse_unknown_keys(
    kind: type[BaseModel], values: Mapping[str, Any], at: Key, source: SettingsText
) -> None:
    for name, value in values.items():
        key = (*at, name)
        if name not in kind.model_fields:
            raise ConfigError(f"{source.where(key)}: {_unknown(kind, key)}")
        section = _section_of(kind.model_fields[name].annotation)
        if section is None:
            continue
        if isinstance(value, Mapping):
            _refuse_unknown_keys(section, value, key, source)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    _refuse_unknown_keys(section, item, (*key, index), source)


def _unknown(kind: type[BaseModel], key: Key) -> str:
    name, known = str(key[-1]), list(kind.model_fields)
    dotted = ".".join(map(str, key))
    # A setting of this very name in a section is what was meant, rather than one that is spelled like it.
    near = _inner_settings(kind, name) or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    prefix = "".join(f"{part}." for part in key[:-1])
    if near:
        return f"unknown setting {dotted!r}. Did you mean {' or '.join(repr(prefix + one) for one in near)}?"
    return f"unknown setting {dotted!r}. Known here: {', '.join(known)}."


def _inner_settings(kind: type[BaseModel], name: str) -> list[str]:
    """Settings of this name in the sections of `kind`, with their sections; those least deep only."""
    inside = [
        (outer, section)
        for outer, field in kind.model_fields.items()
        if typing.get_origin(field.annotation) is not tuple
        and (section := _section_of(field.annotation)) is not None
    ]
    direct = [f"{outer}.{name}" for outer, section in inside if name in section.model_fields]
    return direct or [
        f"{outer}.{found}" for outer, section in inside for found in _inner_settings(section, name)
    ]


def _parse_overrides(kind: type[BaseModel], words: Sequence[str]) -> Iterator[tuple[Key, Any]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise ConfigError(
                f"{word!r} is not a setting. Overrides are written --section.name value, "
                "and the configuration file comes first."
            )
        name, equals, value = word[2:].partition("=")
        key = tuple(name.replace("-", "_").split("."))
        # What `--help` shows for a flag: --section.no-name switches it off.
        positive = (*key[:-1], key[-1].removeprefix("no_"))
        if positive != key and not equals and _is_flag(kind, positive):
            yield positive, "false"
            continue
        annotation = _annotation_at(kind, key)
        if not equals:
            if annotation is bool and (not rest or rest[0].startswith("--")):
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise ConfigError(f"{word} needs a value: {word} VALUE")
        yield key, _override_value(annotation, value)


def _is_flag(kind: type[BaseModel], key: tuple[str, ...]) -> bool:
    try:
        return _annotation_at(kind, key) in (bool, bool | None)
    except ConfigError:
        return False


def _annotation_at(kind: type[BaseModel], key: Key) -> Any:
    for depth, name in enumerate(key):
        if str(name) not in kind.model_fields:
            raise ConfigError(f"command line: {_unknown(kind, key[: depth + 1])}")
        annotation = kind.model_fields[str(name)].annotation
        last = depth == len(key) - 1
        section = _section_of(annotation)
        if last:
            return annotation
        if typing.get_origin(annotation) is dict:
            return Any
        if section is None:
            raise ConfigError(
                f"command line: {'.'.join(map(str, key[: depth + 1]))!r} is a value, not a section; "
                f"it has no {key[depth + 1]!r}"
            )
        kind = section
    return Any


def _override_value(annotation: Any, text: str) -> Any:
    """Text for plain values, which pydantic converts; a TOML value where a list, table or anything may be."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    choices = typing.get_args(annotation) if union else (annotation,)
    structured = any(choice is Any or typing.get_origin(choice) in (tuple, list, dict) for choice in choices)
    if not structured and _section_of(annotation) is None:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return (
            (text,)
            if any(typing.get_origin(c) in (tuple, list) for c in choices) and len(choices) == 1
            else text
        )


def _put(values: dict[str, Any], key: Key, value: Any) -> None:
    for name in key[:-1]:
        inner = values.get(str(name))
        values[str(name)] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[str(name)]
    values[str(key[-1])] = value


def _explain(
    kind: type[BaseModel], error: ValidationError, at: Key, source: SettingsText, overridden: set[Key]
) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        key = (*at, *(part for part in problem["loc"] if not _is_type_label(part)))
        given = any(key[: len(other)] == other for other in overridden if key)
        where = "command line" if given else source.where(key)
        if problem["type"] == "missing":
            said = _what_is_missing(kind, key[len(at) :], at, has_file=source.path is not None)
            lines.append(said if where == "configuration" else f"{where}: {said}")
            continue
        message = problem["msg"].removeprefix("Value error, ")
        shown = problem.get("input")
        # An address may hold a password, which belongs in no log.
        is_address = isinstance(shown, str) and "://" in shown
        value = "" if is_address or isinstance(shown, Mapping | BaseModel) else f" (got {shown!r})"
        dotted = ".".join(map(str, key))
        lines.append(f"{where}: {f'{dotted}: ' if dotted else ''}{message}{value}")
    return "\n".join(dict.fromkeys(lines))


def _what_is_missing(kind: type[BaseModel], key: Key, at: Key, *, has_file: bool) -> str:
    """That a setting without a default is not set, and where it can be."""
    dotted = ".".join(map(str, (*at, *key)))
    annotation = _annotation_inside(kind, key)
    section = _section_of(annotation)
    is_table = typing.get_origin(annotation) is dict or (
        section is not None and typing.get_origin(annotation) is not tuple
    )
    written = f"a [{dotted}] section" if is_table else f"{dotted} = ..."
    said = f"{dotted} is not set: " + (f"add {written}" if has_file else f"give a TOML file with {written}")
    if at or any(isinstance(part, int) for part in key) or (is_table and section is None):
        return said  # no flag leads there
    flag = ".".join(map(str, key))
    if section is not None and is_table:
        fields = section.model_fields
        first = next((name for name, field in fields.items() if field.is_required()), next(iter(fields)))
        flag, annotation = f"{flag}.{first}", fields[first].annotation
    return f"{said}, or --{flag.replace('_', '-')} {'FILE' if _takes_path(annotation) else 'VALUE'}"


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_takes_path, typing.get_args(annotation)))


def _annotation_inside(kind: type[BaseModel], key: Key) -> Any:
    """The annotation at this key, which leads to a field; numbers are places in a list."""
    annotation: Any = kind
    for name in key:
        section = _section_of(annotation)
        if isinstance(name, str) and section is not None and name in section.model_fields:
            annotation = section.model_fields[name].annotation
    return annotation


def _is_type_label(part: str | int) -> bool:
    """Pydantic adds the branch of a union to a location: 'function-after[...]', 'literal[...]', 'int'."""
    return isinstance(part, str) and (("[" in part) or part in {"int", "float", "str", "bool"})
