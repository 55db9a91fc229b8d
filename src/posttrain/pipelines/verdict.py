"""Whether a stage is done, to be resumed, or to be done again, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from posttrain.pipelines.record import StageRecord
from posttrain.pipelines.stages import Stage
from posttrain.runs.metric_names import count_text
from posttrain.runs.resume import compare_configs

_SHOWN: Final = 3
"""Changes that a reason lists."""


@dataclass(frozen=True)
class Verdict:
    """`action` and its reason; `replaces`: what lies in the stage's folder is moved aside before.

    "run" starts at the beginning, "resume" goes on inside the stage.
    """

    action: Literal["skip", "resume", "run"]
    reason: str
    replaces: bool = False


def judge(stage: Stage, record: StageRecord | None, inputs: Mapping[str, str]) -> Verdict:
    """A stage is done when it came to its end with these settings on inputs of this content, and its output is there.

    `inputs` are digests by setting, as `content.digests_of` gives them.
    """
    has_files = stage.folder.is_dir() and any(stage.folder.iterdir())
    if record is None:
        if has_files:
            return Verdict("run", "nothing is known of what lies in its folder", replaces=True)
        return Verdict("run", "not done yet")
    if changes := _changes(stage, record, inputs):
        return Verdict("run", _shortened(changes), replaces=has_files)
    if record.status == "started":
        return Verdict("resume", "was started and not finished")
    if not stage.main_output.exists():
        return Verdict("run", f"its output {stage.main_output} is gone", replaces=has_files)
    return Verdict("skip", "done, and nothing changed")


def _shortened(changes: list[str]) -> str:
    more = f"; and {count_text(len(changes) - _SHOWN, 'more change')}" if len(changes) > _SHOWN else ""
    return "; ".join(changes[:_SHOWN]) + more


def _changes(stage: Stage, record: StageRecord, inputs: Mapping[str, str]) -> list[str]:
    if record.recipe != stage.kind.recipe:
        return [f"recipe: {record.recipe} -> {stage.kind.recipe}"]
    settings = compare_configs(record.settings, stage.settings, frozenset())
    changed = [f"changed setting {difference}" for difference in settings]
    names = {difference.key for difference in settings}
    written = {".".join(map(str, reference.key)): reference.written for reference in stage.references}
    for name in sorted({*record.inputs, *inputs}):
        if name not in names and record.inputs.get(name) != inputs.get(name):
            changed.append(f"the content of {name} ({written.get(name, 'a file')}) changed")
    return changed
