"""The pipeline itself: each stage in order, skipped, resumed or done, and its record kept."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from posttrain.config.loading import SettingsText
from posttrain.config.pipeline import PipelineConfig
from posttrain.errors import ConfigError, PosttrainError
from posttrain.pipelines.content import digests_of
from posttrain.pipelines.preflight import check
from posttrain.pipelines.record import FILE, StageRecord, read_records, write_records
from posttrain.pipelines.selection import choose
from posttrain.pipelines.stage_runs import StageReport
from posttrain.pipelines.stages import RESERVED, Stage, read_stages
from posttrain.pipelines.verdict import Verdict, judge

REPLACED = RESERVED[0]
"""Folder in the pipeline's that holds what a stage had left before it was done again; one version of each."""


@dataclass(frozen=True)
class PlannedStage:
    """What would happen to a stage: "skip", "resume", "run", "depends" (on what stages before it come to) or "taken"
    (as it is, because it is not to run), and why."""

    name: str
    recipe: str
    action: Literal["skip", "resume", "run", "depends", "taken"]
    reason: str


@dataclass(frozen=True)
class StageResult:
    """A stage after the pipeline came by; `numbers` has "before" and "after" where the recipe measures them."""

    name: str
    recipe: str
    action: Literal["skipped", "resumed", "ran", "taken as it is", "not reached"]
    seconds: float
    outcome: str
    numbers: dict[str, float]
    output: Path


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline came to; `is_complete` is False when Ctrl-C ended it before its last stage."""

    folder: Path
    stages: tuple[StageResult, ...]
    is_complete: bool


def plan(config: PipelineConfig, *, text: SettingsText | None = None) -> list[PlannedStage]:
    """What `pipeline` would do now; nothing is run or written. Raises as `pipeline` does before its first stage."""
    stages, chosen = _prepared(config, text or SettingsText(None, ""))
    records = read_records(config.output)
    planned: list[PlannedStage] = []
    will_change: set[str] = set()
    for stage in stages:
        if stage.name not in chosen:
            planned.append(PlannedStage(stage.name, stage.kind.recipe, "taken", "not chosen"))
            continue
        verdict = judge(stage, records.get(stage.name), digests_of(stage))
        waits_for = sorted(stage.needs & will_change)
        action: Literal["skip", "resume", "run", "depends"] = verdict.action
        reason = verdict.reason
        if waits_for and verdict.action != "run":
            action = "depends"
            reason = f"again, unless {', '.join(f'@{name}' for name in waits_for)} comes out as it was"
        if action != "skip":
            will_change.add(stage.name)
        planned.append(PlannedStage(stage.name, stage.kind.recipe, action, reason))
    return planned


def pipeline(
    config: PipelineConfig, *, text: SettingsText | None = None, note: Callable[[str], None] = print
) -> PipelineResult:
    """Runs the stages that are not done, in order, in this process; the same call goes on after an interruption.

    `text` is the file that the settings were read from, for errors that name lines; `note` hears what happens.
    Raises ConfigError or DataError, before any stage, for settings, references and files that cannot work, and
    what a stage's recipe raises. Ctrl-C ends after the current step of the current stage, saved.
    """
    if config.dry_run:
        raise ConfigError(
            "dry_run = true runs nothing: from Python, plan(config) says what would run and why"
        )
    stages, chosen = _prepared(config, text or SettingsText(None, ""))
    results: list[StageResult] = []
    with _lock(config.output):
        run = _Run(config.output, read_records(config.output), note)
        for number, stage in enumerate(stages, start=1):
            if stage.name not in chosen:
                results.append(run.result(stage, "taken as it is"))
                continue
            heading = f"stage {number} of {len(stages)}, {stage.name} ({stage.kind.recipe})"
            is_complete, result = run.bring_up_to_date(stage, heading)
            results.append(result)
            if not is_complete:
                note("Not finished. The same command goes on.")
                results += [run.result(later, "not reached") for later in stages[number:]]
                return PipelineResult(config.output, tuple(results), is_complete=False)
    return PipelineResult(config.output, tuple(results), is_complete=True)


def _prepared(config: PipelineConfig, text: SettingsText) -> tuple[list[Stage], frozenset[str]]:
    """All that can be checked before any work is done."""
    stages = read_stages(config, text)
    chosen = choose(config, stages)
    _check_folder(config.output)
    for stage in stages:
        if stage.name in chosen:
            check(stage, text)
    return stages, chosen


@dataclass
class _Run:
    """One start of a pipeline; `records` are on disk after every change."""

    folder: Path
    records: dict[str, StageRecord]
    note: Callable[[str], None]

    def bring_up_to_date(self, stage: Stage, heading: str) -> tuple[bool, StageResult]:
        """Skips, resumes or runs the stage; False when it was interrupted before its end."""
        inputs = digests_of(stage)
        verdict = judge(stage, self.records.get(stage.name), inputs)
        if verdict.action == "skip":
            self.note(f"{heading}: {verdict.reason}")
            return True, self.result(stage, "skipped")
        started = self._begin(stage, inputs, verdict, heading)
        started_at = time.perf_counter()
        try:
            report = stage.kind.runner()(stage.config)
        except PosttrainError as error:
            raise type(error)(f"the stage {stage.name!r}: {error}") from error
        finally:
            seconds = started.seconds + time.perf_counter() - started_at
            self._keep(stage, dataclasses.replace(started, seconds=seconds))
            release_memory()
        self._keep(stage, _finished(started, seconds, report))
        self.note(f"{stage.name}: {report.outcome}")
        return report.is_complete, self.result(stage, "resumed" if verdict.action == "resume" else "ran")

    def result(
        self,
        stage: Stage,
        action: Literal["skipped", "resumed", "ran", "taken as it is", "not reached"],
    ) -> StageResult:
        """The stage as its record has it."""
        record = self.records.get(stage.name)
        return StageResult(
            name=stage.name,
            recipe=stage.kind.recipe,
            action=action,
            seconds=record.seconds if record else 0.0,
            outcome=record.outcome if record else "",
            numbers=dict(record.numbers) if record else {},
            output=stage.main_output,
        )

    def _begin(self, stage: Stage, inputs: dict[str, str], verdict: Verdict, heading: str) -> StageRecord:
        if verdict.action == "resume":
            self.note(f"{heading}: going on, it {verdict.reason}")
            return self.records[stage.name]
        self.note(f"{heading}: runs, {verdict.reason}")
        if verdict.replaces:
            # Forgotten first: a kill between here and the new record must not leave an old record of a new folder.
            self.records.pop(stage.name, None)
            write_records(self.folder, self.records)
            self._move_aside(stage)
        record = StageRecord(stage.kind.recipe, stage.settings, inputs, "started")
        self._keep(stage, record)
        return record

    def _move_aside(self, stage: Stage) -> None:
        place = self.folder / REPLACED / stage.name
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(exist_ok=True)
        os.replace(stage.folder, place)
        self.note(
            f"what {stage.name} had left is in {place} until it is replaced again; delete it as you like"
        )

    def _keep(self, stage: Stage, record: StageRecord) -> None:
        self.records[stage.name] = record
        write_records(self.folder, self.records)


def _finished(started: StageRecord, seconds: float, report: StageReport) -> StageRecord:
    return dataclasses.replace(
        started,
        status="done" if report.is_complete else "started",
        seconds=seconds,
        outcome=report.outcome,
        numbers=dict(report.numbers),
    )


def release_memory() -> None:
    """What the last stage held is free for the next one: models lie in reference cycles, GPU memory in a cache."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and a pipeline needs a folder. Choose another output.")
    if not folder.is_dir() or (folder / FILE).exists():
        return
    foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if foreign:
        raise ConfigError(
            f"{folder} holds {foreign[0]!r} but no pipeline: writing one among other files would mix them. "
            "Choose an output folder that is new or empty."
        )


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """This process alone runs the pipeline while the block lasts; its folder is made."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the pipeline's folder {folder} cannot be made: {error.strerror}. Choose another output."
        ) from error
    held = FileLock(folder / ".lock", blocking=False, preserve_lock_file=True, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        raise ConfigError(
            f"another process runs the pipeline in {folder}. Wait for it to end, or choose another output."
        ) from None
    try:
        yield
    finally:
        held.release()
