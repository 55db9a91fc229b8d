"""The stages of a pipeline as its settings describe them: names, recipes, settings, and which hands what to which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from posttrain.config.loading import SettingsText, load_table
from posttrain.config.pipeline import PipelineConfig
from posttrain.config.sections import Section, as_toml_values
from posttrain.errors import ConfigError
from posttrain.pipelines.stage_kinds import STAGE_KINDS, StageKind, near

RESERVED: Final = ("replaced",)
"""Names in the pipeline's folder that no stage can have."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Reference:
    """A setting that names another stage's output: "@stage" or "@stage.output"."""

    key: Key
    written: str
    stage: str
    path: Path


@dataclass(frozen=True)
class Stage:
    """One stage: what runs it, with its settings whole; `settings` has references as they were written."""

    name: str
    kind: StageKind
    folder: Path
    config: Section
    settings: Mapping[str, Any]
    references: tuple[Reference, ...]

    @property
    def main_output(self) -> Path:
        """Where what "@name" stands for lies, once the stage is done."""
        return self.kind.output_path(self.folder)

    @property
    def needs(self) -> frozenset[str]:
        """The stages whose outputs it takes."""
        return frozenset(reference.stage for reference in self.references)

    def has_itself(self, *key: str | int) -> bool:
        """Whether nothing of this setting, or of the settings under it, comes from another stage."""
        return not any(reference.key[: len(key)] == key for reference in self.references)


def read_stages(config: PipelineConfig, text: SettingsText) -> list[Stage]:
    """The stages in order, every setting checked. ConfigError names the file, the line and the nearest known name."""
    stages: dict[str, Stage] = {}
    for name, table in config.stages.items():
        stages[name] = _read_stage(name, dict(table), config, text, stages)
    return list(stages.values())


def dotted(key: Key) -> str:
    """The setting's name as people write it."""
    return ".".join(map(str, key))


def _read_stage(
    name: str,
    table: dict[str, Any],
    config: PipelineConfig,
    text: SettingsText,
    earlier: Mapping[str, Stage],
) -> Stage:
    at: Key = ("stages", name)
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(
            f"{text.where(at)}: {name!r} cannot be a stage's name, which is a folder's: use letters, digits, "
            f"- and _, and not {', '.join(RESERVED)}."
        )
    kind = _kind_of(table.pop("recipe", None), at, text)
    if "output" in table:
        raise ConfigError(
            f"{text.where((*at, 'output'))}: a stage's output lies in the pipeline's folder, here "
            f"{config.output / name}. Remove the setting."
        )
    folder = config.output / name
    references: list[Reference] = []
    with_defaults = _with_defaults(table, kind, config)
    resolved = _resolve(with_defaults, (), kind, at, _Names(text, config, earlier), references)
    output = folder / kind.output_file if kind.output_file else folder
    settings = load_table(kind.config_class(), {**resolved, "output": str(output)}, at, text)
    written = {str(reference.path): reference.written for reference in references}
    shown = _restored(as_toml_values(settings), written)
    shown.pop("output")
    return Stage(name, kind, folder, settings, shown, tuple(references))


def _kind_of(recipe: Any, at: Key, text: SettingsText) -> StageKind:
    if recipe is None:
        raise ConfigError(
            f"{text.where(at)}: [{dotted(at)}] needs a recipe, one of {', '.join(STAGE_KINDS)}."
        )
    if recipe not in STAGE_KINDS:
        raise ConfigError(
            f"{text.where((*at, 'recipe'))}: there is no recipe {recipe!r}. {near(str(recipe), STAGE_KINDS)}"
        )
    return STAGE_KINDS[recipe]


def _with_defaults(table: Mapping[str, Any], kind: StageKind, config: PipelineConfig) -> dict[str, Any]:
    """The stage's own settings before those that the pipeline gives for all."""
    known = kind.config_class().model_fields
    values = dict(table)
    if config.model is not None and "model" in known and kind.takes_default_model:
        values.setdefault("model", config.model)
    if config.seed is not None and "seed" in known:
        values.setdefault("seed", config.seed)
    if config.compute is not None and "compute" in known and isinstance(values.get("compute", {}), Mapping):
        given = config.compute.model_dump(mode="json", exclude_unset=True)
        values["compute"] = {**given, **values.get("compute", {})}
    return values


@dataclass(frozen=True)
class _Names:
    """What a reference is looked up in."""

    text: SettingsText
    config: PipelineConfig
    earlier: Mapping[str, Stage]


def _resolve(value: Any, key: Key, kind: StageKind, at: Key, names: _Names, found: list[Reference]) -> Any:
    """The value with every "@stage" replaced by a path; "@@" at the beginning stands for one @."""
    if isinstance(value, Mapping):
        return {k: _resolve(v, (*key, k), kind, at, names, found) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(v, (*key, i), kind, at, names, found) for i, v in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value.startswith("@@"):
        return value[1:]
    reference = _reference(value, key, kind, at, names)
    found.append(reference)
    return str(reference.path)


def _reference(written: str, key: Key, kind: StageKind, at: Key, names: _Names) -> Reference:
    stage_name, _, output_name = written[1:].partition(".")
    where = f"{names.text.where((*at, *key))}: {dotted((*at, *key))} = {written!r}"
    if stage_name not in names.earlier:
        if stage_name == at[1]:
            raise ConfigError(f"{where}: a stage cannot take its own output. Name an earlier one.")
        if stage_name in names.config.stages:
            raise ConfigError(f"{where}: the stage {stage_name!r} comes later. Put it before this one.")
        raise ConfigError(
            f"{where}: there is no stage {stage_name!r} before this one. {near(stage_name, names.earlier)} "
            '(For a text that begins with @, write "@@".)'
        )
    stage = names.earlier[stage_name]
    outputs = stage.kind.outputs
    if output_name and output_name not in outputs:
        raise ConfigError(
            f"{where}: {stage.kind.recipe} leaves no output {output_name!r}. {near(output_name, outputs)}"
        )
    output = outputs[output_name] if output_name else stage.kind.main_output
    setting = ".".join(part for part in key if isinstance(part, str))
    fitting = kind.takes.get(setting)
    if fitting is not None and output.kind not in fitting:
        raise ConfigError(
            f"{where} is {_article(output.kind)}, and this setting takes {' or '.join(map(_article, sorted(fitting)))}."
        )
    return Reference(key, written, stage_name, stage.kind.output_path(stage.folder, output_name or None))


def _article(kind: str) -> str:
    return kind if kind.endswith("s") else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _restored(value: Any, written: Mapping[str, str]) -> Any:
    """The settings with references as they were written, so that they do not depend on where the folder lies."""
    if isinstance(value, Mapping):
        return {key: _restored(item, written) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_restored(item, written) for item in value]
    return written.get(value, value) if isinstance(value, str) else value


def settings_under(config: Section, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every plain value of the settings with its key; options of tasks and rewards (plain dicts) are left out."""
    for name in type(config).model_fields:
        yield from _under(getattr(config, name), (*key, name))


def _under(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if isinstance(value, Section):
        yield from settings_under(value, key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _under(item, (*key, index))
    elif not isinstance(value, Mapping):
        yield key, value
