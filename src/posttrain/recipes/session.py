"""What any recipe has around its loop: the run's folder, resuming, what each step leaves behind, Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tomli_w
import torch

from posttrain.config.sections import RecipeConfig, as_toml_values
from posttrain.errors import ConfigError
from posttrain.evaluation.evaluate import Evaluation
from posttrain.runs.health import check_health, new_alarms
from posttrain.runs.live_view import LiveView
from posttrain.runs.report import plot_curve
from posttrain.runs.resume import compare_configs, refuse_changes
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RunLog
from posttrain.runs.samples import append_samples, write_samples_page
from posttrain.runs.stop_request import StopRequest
from posttrain.training.checkpoint import Checkpoint, CheckpointStore, replace_folder
from posttrain.types import ScoredRollout

MAY_CHANGE_ON_RESUME = frozenset(
    {
        "steps",
        "output",
        "checkpoint.*",
        "evaluation.every_steps",
        "evaluation.num_prompts",
        "evaluation.samples_per_prompt",
        "reward.max_unscored_share",
        "reward.memory_limit_mb",
        "reward.num_workers",
        "reward.time_limit_seconds",
        # These change no formula, but the order of sums: the last bits.
        "compute.microbatch_tokens",
        "compute.rollout_rows",
        "compute.gradient_checkpointing",
    }
)
"""Settings that do not make another experiment of a run; `steps` does where a schedule counts them."""

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
    `facts` are what was found out at the first start and must stay (see `keep_fact`).
    """

    def __init__(
        self,
        config: RecipeConfig,
        *,
        title: str,
        num_steps: int,
        may_change: frozenset[str],
        reward_names: Sequence[str] = (),
        highest_score: float | None = None,
    ) -> None:
        self.config = config
        self.folder = RunFolder(config.output)
        self.title = title
        self.num_steps = num_steps
        self.first_step = 1
        self._stop = StopRequest(
            lambda: self.view.note("stopping after this step; it will be saved (Ctrl-C again: stop at once)")
        )
        self._restored: Checkpoint | None = None
        self._may_change = may_change
        self._reward_names = list(reward_names)
        self._highest_score = highest_score
        self._around = contextlib.ExitStack()
        self._changed: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self.folder.lock())
            self.checkpoints = CheckpointStore(self.folder.checkpoints, keep=self.config.checkpoint.keep)
            self.checkpoints.clean_leftovers()
            self._restored = self.checkpoints.load()
            self._compare_with_earlier_start()
            self.folder.write_config(tomli_w.dumps(as_toml_values(self.config)))
            self.log = undo.enter_context(RunLog(self.folder))
            # Nothing was saved and the settings are others: the score before the first step is another's, too.
            starts_anew = self._restored is None and bool(self._changed)
            lost_rows = self.log.resume(-1 if starts_anew else self.first_step - 1)
            self._rows = self.log.read_metrics()
            self.view = undo.enter_context(LiveView(self.num_steps, self.title))
            undo.enter_context(self._stop)
            self._around = undo.pop_all()
        if self.first_step > 1:
            self.view.resume_at(self.first_step - 1)
            self.view.note(
                "this run is complete; raise steps to go on, or choose another output to start anew"
                if self.is_complete
                else f"going on after step {self.first_step - 1} of {self.num_steps}"
            )
        for sentence in (*self._changed, *lost_rows):
            self.view.note(sentence)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._around:
            # Also after an error: then one wants to see what the model wrote.
            self.write_report()

    @property
    def steps_done(self) -> int:
        """Steps of the whole run that are done and logged, in this start or an earlier one."""
        return max(self.first_step - 1, int(self._rows[-1]["step"]) if self._rows else 0)

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to do: the last step is saved, and its model written."""
        if self.steps_done < self.num_steps:
            return False
        try:
            # A run that was resumed still has the model of its earlier end.
            exported = json.loads((self.folder.model / EXPORTED).read_bytes())
        except (OSError, ValueError):
            return False
        return bool(exported["step"] == self.steps_done)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or SIGTERM asked this start to end after the step under way."""
        return self._stop.is_made

    def take_restored(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None; only once, so that its tensors do not stay in memory."""
        restored, self._restored = self._restored, None
        return restored

    def steps(self) -> Iterator[int]:
        """The steps to do; the generator ends early after an interruption."""
        for step in range(self.first_step, self.num_steps + 1):
            if self.interrupted:
                return
            self._step_started_at = time.perf_counter()
            yield step

    def record_start(self, device: str) -> None:
        """run.json has an entry of what this start runs on."""
        self.folder.record_session(
            seeds={"seed": self.config.seed},
            device=device,
            num_threads=torch.get_num_threads(),
            resumed_from_step=self.first_step - 1 or None,
            changed=self._changed,
            reward=self._reward_names,
        )
        starts = self.folder.read_sessions()
        threads = {start.get("num_threads") for start in starts}
        if self.first_step > 1 and len(threads) > 1:
            self.view.note(
                f"this start uses {torch.get_num_threads()} threads and an earlier one another number: sums "
                "are taken in another order, so the result differs in the last bits from an uninterrupted run"
            )

    def fact(self, name: str) -> Any:
        """What an earlier start of this run kept under this name, or None."""
        return self.folder.read_facts().get(name)

    def keep_the_same(self, name: str, value: Any, *, refusal: str | None = None) -> None:
        """ConfigError when an earlier start of this run kept another value under this name.

        `refusal` says what that means and what to do; without it the name is a setting of `compute`. Also before
        the first checkpoint: the held-out numbers before the first step are kept, and would be another's.
        """
        earlier = self.fact(name)
        if earlier is not None and earlier != value:
            raise ConfigError(
                refusal
                or f"this run computed with {name} {earlier} so far, and would with {value} on this machine: another "
                f'experiment. Set compute.{name} = "{earlier}", or choose another output folder.'
            )
        self.keep_fact(name, value)

    def keep_fact(self, name: str, value: Any) -> None:
        """`value` is found by every later start of this run: what was measured once must not be measured again."""
        facts = self.folder.read_facts()
        if facts.get(name) != value:
            self.folder.write_facts({**facts, name: value})

    def write_step(
        self,
        step: int,
        metrics: Mapping[str, float],
        timings: Mapping[str, float],
        scored: Sequence[ScoredRollout] = (),
    ) -> None:
        """The step's numbers and samples are on disk, and on the screen."""
        timings = {**timings, "step_seconds": time.perf_counter() - self._step_started_at}
        append_samples(self.log.samples, step, scored)
        self.log.write_step(step, metrics, timings)
        self.view.step(step, metrics, timings)
        self._rows.append({"step": step, **metrics})
        self._tell_alarms(self._rows, ())

    def evaluation_of_step(self, step: int) -> Evaluation | None:
        """The evaluation that an earlier start of this run has written for this step."""
        rows = [row for row in self.log.read_evaluations() if row["step"] == step]
        return Evaluation.from_dict(rows[0]) if rows else None

    def write_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """The held-out score is on disk, and on the screen."""
        self.log.write_evaluation(step, evaluation.to_dict())
        self.view.held_out(step, evaluation.accuracy, evaluation.standard_error)

    def measurement_of_step(self, step: int) -> dict[str, Any] | None:
        """The held-out numbers that an earlier start of this run has written for this step."""
        rows = [row for row in self.log.read_evaluations() if row["step"] == step]
        return {name: value for name, value in rows[0].items() if name != "step"} if rows else None

    def write_measurement(self, step: int, measured: Mapping[str, Any], shown: Collection[str] = ()) -> None:
        """Held-out numbers that are no sampled score (a loss, the accuracy of a reward model) are on disk and shown.

        Only those of the names `shown` are on the screen, where any are given.
        """
        self.log.write_evaluation(step, measured)
        self.view.measured(
            step, {name: value for name, value in measured.items() if not shown or name in shown}
        )
        self._tell_alarms(self._rows, self.log.read_evaluations())

    def save_if_due(self, step: int, snapshot: Callable[[], Snapshot]) -> None:
        """A checkpoint after every `checkpoint.every_steps`, after the last step, and before an early end."""
        if step % self.config.checkpoint.every_steps and step != self.num_steps and not self.interrupted:
            return
        self.view.phase("save", 0, 1)
        taken = snapshot()
        tensors = {f"{owner}/{name}": t for owner, own in taken.tensors.items() for name, t in own.items()}
        self.checkpoints.save(step, taken.write_model, tensors, taken.state)
        self.write_report()
        if self.interrupted and step < self.num_steps:
            self.view.note(
                f"stopped after step {step} of {self.num_steps}, which is saved. "
                "To go on, give the same command again."
            )

    def export_model(self, write_model: Callable[[Path], object]) -> None:
        """`model/` holds the trained model, whole and on disk. CheckpointError when it cannot be written."""

        def write(folder: Path) -> None:
            write_model(folder)
            (folder / EXPORTED).write_text(json.dumps({"step": self.steps_done}) + "\n")

        replace_folder(self.folder.model, write)

    def write_report(self) -> None:
        """The curve and the page of samples show everything up to now. Nothing that goes wrong here stops a run."""
        try:
            rows, evaluations = self.log.read_metrics(), self.log.read_evaluations()
            if rows or evaluations:
                plot_curve(rows, evaluations, self.folder.curve, title=self.title)
                # Recipes that learn from given data sample nothing, and leave no page of nothing.
                if self.log.samples.last_step is not None or any(row.get("samples") for row in evaluations):
                    write_samples_page(self.folder, title=self.title)
        except Exception as error:
            self.view.note(f"the curve or the page of samples could not be written: {error}")

    def alarms(self) -> list[str]:
        """What looks wrong in the run as a whole, in sentences."""
        rows, evaluations = self.log.read_metrics(), self.log.read_evaluations()
        found = check_health(rows, reward_maximum=self._highest_score, evaluations=evaluations)
        return [str(alarm) for alarm in found]

    def _tell_alarms(
        self, rows: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
    ) -> None:
        """The user hears of each kind of alarm once."""
        found = check_health(rows, reward_maximum=self._highest_score, evaluations=evaluations)
        for alarm in new_alarms(found, self._told):
            self.view.note(str(alarm))

    def _compare_with_earlier_start(self) -> None:
        """ConfigError for changes that would make another experiment of it, once there is a checkpoint."""
        if not self.folder.is_run:
            return
        now = as_toml_values(self.config)
        differences = compare_configs(self.folder.read_config(), now, self._may_change)
        self._changed = [f"changed: {difference}" for difference in differences]
        if self._restored is None:
            if differences:
                self.folder.write_facts({})
            return
        refuse_changes(differences)
        self.first_step = self._restored.step + 1
        if self._restored.step > self.num_steps:
            raise ConfigError(
                f"steps = {self.num_steps}, but {self._restored.step} steps of this run are done. "
                f"Set steps to {self._restored.step} or more, or choose another output."
            )
        self._compare_rewards(self._restored.state.get("reward", self._reward_names))

    def _compare_rewards(self, saved: Sequence[str]) -> None:
        if [name.partition(" ")[0] for name in saved] != [
            name.partition(" ")[0] for name in self._reward_names
        ]:
            raise ConfigError(
                f"this run was rewarded by {', '.join(saved)}, and now it would be by "
                f"{', '.join(self._reward_names)}: that would be another experiment. Go on with the same reward "
                "(a Python function is passed as reward=), or choose another output folder."
            )
        if list(saved) != self._reward_names:
            self._changed.append(
                "changed: the code of a reward function is not what the run was started with"
            )

    @property
    def reward_names(self) -> list[str]:
        """The reward's terms with digests of their code: a snapshot's state holds them under `reward`."""
        return self._reward_names


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
