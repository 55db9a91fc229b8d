"""What any recipe has around its loop: the run's folder, resuming, what each step leaves behind, and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import tomli_w
import torch

from posttrain.config.sections import RecipeConfig
from posttrain.evaluation.evaluate import Evaluation
from posttrain.runs.health import check_health, new_alarms
from posttrain.runs.live_view import LiveView
from posttrain.runs.report import plot_curve
from posttrain.runs.resume import compare_configs, refuse_changes
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog
from posttrain.runs.samples import append_samples, write_samples_page
from posttrain.training.checkpoint import Checkpoint, CheckpointStore
from posttrain.types import ScoredRollout

MAY_CHANGE_ON_RESUME = frozenset(
    {"steps", "output", "checkpoint.*", "evaluation.*", "reward.num_workers", "reward.time_limit_seconds"}
)
"""Settings that do not change what a step computes; `steps` is refused too where a schedule counts them."""

EXPORTED = "posttrain.json"
"""Stands in the exported model's folder and says after which step it was written."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a recipe needs to go on after a step; `tensors` by owner and name."""

    write_model: Callable[[Path], object]
    tensors: Mapping[str, Mapping[str, torch.Tensor]]
    state: Mapping[str, Any]


class TrainingSession:
    """One start of a run: entered before a model is loaded, so that what cannot work is said at once.

    `first_step` is the first step that is not done yet, counted from 1. `steps()` yields the steps that are
    left and ends early, after a whole step, when Ctrl-C or SIGTERM asked for it; a second Ctrl-C ends at once.
    """

    def __init__(
        self,
        config: RecipeConfig,
        *,
        title: str,
        may_change: frozenset[str],
        highest_score: float | None = None,
    ) -> None:
        self.config = config
        self.folder = RunFolder(config.output)
        self.title = title
        self.first_step = 1
        self._restored: Checkpoint | None = None
        self.interrupted = False
        self._may_change = may_change
        self._highest_score = highest_score
        self._around = contextlib.ExitStack()
        self._changed: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self.folder.lock())
            self._refuse_changed_settings()
            self.checkpoints = CheckpointStore(self.folder.checkpoints, keep=self.config.checkpoint.keep)
            self._restored = self.checkpoints.load()
            if self._restored is not None:
                self.first_step = self._restored.step + 1
            self.folder.write_config(tomli_w.dumps(_plain(self.config)))
            self.log = undo.enter_context(RunLog(self.folder))
            self._lost_rows = self.log.resume(self.first_step - 1)
            self._rows = self.log.read_metrics()
            self.view = undo.enter_context(LiveView(self.config.steps, self.title))
            undo.enter_context(self._signals_wait_for_the_step())
            self._around = undo.pop_all()
        if self.first_step > 1:
            self.view.resume_at(self.first_step - 1)
            self.view.note(
                "this run is complete; raise steps to go on, or choose another output to start anew"
                if self.is_complete
                else f"going on after step {self.first_step - 1} of {self.config.steps}"
            )
        for sentence in (*self._changed, *self._lost_rows):
            self.view.note(sentence)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._around.__exit__(kind, error, trace)

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to do: the last step is saved, and its model written."""
        if self.steps_done < self.config.steps:
            return False
        try:
            # A run that was gone on with still has the model of its earlier end.
            exported = json.loads((self.folder.model / EXPORTED).read_bytes())
        except (OSError, ValueError):
            return False
        return bool(exported["step"] == self.steps_done)

    def take_restored(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None; only once, so that its tensors do not stay in memory."""
        restored, self._restored = self._restored, None
        return restored

    def steps(self) -> Iterator[int]:
        """The steps to do; the generator ends early after an interruption."""
        for step in range(self.first_step, self.config.steps + 1):
            self._step_started_at = time.perf_counter()
            yield step
            if self.interrupted:
                return

    def record_start(self, device: str) -> None:
        """run.json has an entry of what this start runs on."""
        self.folder.record_session(
            seeds={"seed": self.config.seed},
            device=device,
            num_threads=torch.get_num_threads(),
            resumed_from_step=self.first_step - 1 or None,
            changed=self._changed,
        )
        starts = self.folder.read_sessions()
        threads = {start.get("num_threads") for start in starts}
        if self.first_step > 1 and len(threads) > 1:
            self.view.note(
                f"this start uses {torch.get_num_threads()} threads and an earlier one another number: sums "
                "are taken in another order, so the result differs in the last bits from an uninterrupted run"
            )

    def write_step(
        self,
        step: int,
        metrics: Mapping[str, float],
        timings: Mapping[str, float],
        scored: Sequence[ScoredRollout],
    ) -> None:
        """The step's numbers and samples are on disk, and on the screen."""
        timings = {**timings, "step_seconds": time.perf_counter() - self._step_started_at}
        append_samples(self.log.samples, step, scored)
        self.log.write_step(step, metrics, timings)
        self.view.step(step, metrics, timings)
        self._rows.append({"step": step, **metrics})
        for alarm in new_alarms(check_health(self._rows, reward_maximum=self._highest_score), self._told):
            self.view.note(str(alarm))

    def evaluation_of_step(self, step: int) -> Evaluation | None:
        """The evaluation that an earlier start of this run has written for this step."""
        rows = [row for row in self.log.read_evaluations() if row["step"] == step]
        return Evaluation.from_dict(rows[0]) if rows else None

    def write_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """The held-out score is on disk, and on the screen."""
        self.log.write_evaluation(step, evaluation.to_dict())
        self.view.held_out(step, evaluation.accuracy, evaluation.standard_error)

    def save_if_due(self, step: int, snapshot: Callable[[], Snapshot]) -> None:
        """A checkpoint after every `checkpoint.every_steps`, after the last step, and before an early end."""
        if step % self.config.checkpoint.every_steps and step != self.config.steps and not self.interrupted:
            return
        self.view.phase("save", 0, 1)
        taken = snapshot()
        tensors = {f"{owner}/{name}": t for owner, own in taken.tensors.items() for name, t in own.items()}
        self.checkpoints.save(step, taken.write_model, tensors, taken.state)
        if self.interrupted and step < self.config.steps:
            self.view.note(
                f"stopped after step {step} of {self.config.steps}, which is saved. "
                "To go on, give the same command again."
            )

    @property
    def steps_done(self) -> int:
        """Steps of the whole run that are done and logged, in this start or an earlier one."""
        return max(self.first_step - 1, int(self._rows[-1]["step"]) if self._rows else 0)

    def export_model(self, write_model: Callable[[Path], object]) -> None:
        """`model/` holds the trained model: written beside it and put in place whole."""
        aside = self.folder.model.with_name(".model")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        write_model(aside)
        (aside / EXPORTED).write_text(json.dumps({"step": self.steps_done}) + "\n")
        shutil.rmtree(self.folder.model, ignore_errors=True)
        aside.replace(self.folder.model)

    def write_report(self) -> list[str]:
        """The curve and the page of samples show everything up to now; what looks wrong is returned."""
        rows, evaluations = self.log.read_metrics(), self.log.read_evaluations()
        plot_curve(rows, evaluations, self.folder.curve, title=self.title)
        write_samples_page(self.folder, title=self.title)
        return [str(alarm) for alarm in check_health(rows, reward_maximum=self._highest_score)]

    def _refuse_changed_settings(self) -> None:
        if not self.folder.is_run:
            return
        differences = compare_configs(self.folder.read_config(), _plain(self.config), self._may_change)
        refuse_changes(differences)
        self._changed = [f"changed: {difference}" for difference in differences]

    @contextlib.contextmanager
    def _signals_wait_for_the_step(self) -> Iterator[None]:
        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            if self.interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.interrupted = True
            self.view.note("stopping after this step; it will be saved (Ctrl-C again: stop at once)")

        try:
            numbers = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, ask_to_stop) for number in numbers}
        except ValueError:  # not the main thread: whoever runs that one decides about signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _plain(config: RecipeConfig) -> dict[str, Any]:
    """The settings as TOML can hold them: no null, paths as text."""
    return config.model_dump(mode="json", exclude_none=True)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that was in use at once so far: the GPU's, or this process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows has no such count
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
