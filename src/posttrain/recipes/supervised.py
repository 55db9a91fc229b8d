"""The loop of every recipe that learns from given data: batch -> update -> log -> measure -> checkpoint.

What is trained on in a step is a function of the run's seed and the step alone, so a run's position in its
data is its step: nothing else needs to be saved to go on at the same example.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from posttrain.config.sections import RecipeConfig
from posttrain.recipes.learners import RunLearner, restore_parts, snapshot_parts
from posttrain.recipes.session import Snapshot, TrainingSession, peak_memory_bytes
from posttrain.training.objectives import BatchT, Objective


@dataclass(frozen=True)
class SupervisedResult:
    """What a run came to; `model_folder` is None when it was interrupted before its end.

    `before` and `after` are held-out numbers by name, None where nothing is held out or it was not measured.
    """

    run_folder: Path
    step: int
    num_steps: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    model_folder: Path | None
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Supervision(Generic[BatchT]):
    """What a supervised recipe learns from, and what it leaves behind.

    `batch_of_step(step)` gives the batch and further numbers for the log; `measure()` the held-out numbers of
    the weights as they are ({} where nothing is held out), every `measure_every` steps (0: only before and
    after); `shown` names those that the screen shows, all where it is empty. `write_model(folder)` writes what
    `from_pretrained` opens; `finish()` runs once before the export.
    """

    batch_of_step: Callable[[int], tuple[BatchT, Mapping[str, float]]]
    objective: Objective[BatchT]
    measure: Callable[[], Mapping[str, Any]]
    measure_every: int
    write_model: Callable[[Path], object]
    finish: Callable[[], object] = lambda: None
    shown: tuple[str, ...] = ()


def train_supervised(
    config: RecipeConfig, session: TrainingSession, learner: RunLearner, supervision: Supervision[BatchT]
) -> None:
    """Does the steps that are left, and exports the model after the last one."""
    checkpoint = session.take_restored()
    if checkpoint is not None:
        restore_parts(checkpoint, learner)
    del checkpoint  # its tensors are copied: they would double the memory of the whole run
    session.record_start(str(learner.learner.device))
    _measure(session, supervision, 0)
    for step in session.steps():
        batch, about = supervision.batch_of_step(step)
        session.view.phase("update", 0, 1)
        started_at = time.perf_counter()
        learner.learner.update(batch, supervision.objective)
        metrics = dict(about) | learner.learner.last_update.means()
        seconds = time.perf_counter() - started_at
        timings = {
            "update_seconds": seconds,
            "tokens_per_second": metrics.get("tokens", 0.0) / max(seconds, 1e-9),
            "peak_memory_bytes": float(peak_memory_bytes(learner.learner.device)),
        }
        learner.keep_budget()
        session.write_step(step, metrics, timings)
        _measure(session, supervision, step)
        session.save_if_due(step, lambda: _snapshot(learner, supervision))
    if session.steps_done == session.num_steps:
        supervision.finish()
        session.export_model(supervision.write_model)


def supervised_result(session: TrainingSession) -> SupervisedResult:
    """What the run came to, read from its folder."""
    return SupervisedResult(
        run_folder=session.folder.path,
        step=session.steps_done,
        num_steps=session.num_steps,
        before=session.measurement_of_step(0),
        after=session.measurement_of_step(session.num_steps),
        model_folder=session.folder.model if session.is_complete else None,
        alarms=tuple(session.alarms()),
    )


def _measure(session: TrainingSession, supervision: Supervision[Any], step: int) -> None:
    """The held-out numbers after `step` steps are in the log, where they are due and not there yet."""
    every = supervision.measure_every
    is_due = step in (0, session.num_steps) or (every > 0 and step % every == 0)
    if not is_due or session.measurement_of_step(step) is not None:
        return
    session.view.phase("measure", 0, 1)
    if measured := supervision.measure():
        session.write_measurement(step, measured, supervision.shown)


def _snapshot(learner: RunLearner, supervision: Supervision[Any]) -> Snapshot:
    tensors, state = snapshot_parts(learner)
    return Snapshot(write_model=supervision.write_model, tensors=tensors, state=state)
