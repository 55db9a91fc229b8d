"""Learners of a run: made with the micro-batch budget that the run found at its first start, saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from posttrain.config.sections import ComputeSection, OptimizerSection
from posttrain.distributed.collectives import SingleProcess
from posttrain.recipes.session import MAY_CHANGE_ON_RESUME, TrainingSession
from posttrain.recipes.setup import optimizer_settings
from posttrain.training.checkpoint import Checkpoint
from posttrain.training.learner import Learner, TrainableModel
from posttrain.training.randomness import random_state, restore_random_state
from posttrain.training.schedule import LearningRateSchedule


class RunLearner:
    """A learner, and how its state and its budget go into a run and come back.

    `role` is the owner's name in checkpoints: "learner" for the model that the run trains, "critic" for a
    second one.
    """

    def __init__(
        self,
        session: TrainingSession,
        model: TrainableModel,
        optimizer: OptimizerSection,
        compute: ComputeSection,
        *,
        num_updates: int,
        role: Literal["learner", "critic"] = "learner",
        schedules_by_prefix: Mapping[str, LearningRateSchedule] | None = None,
    ) -> None:
        self._session = session
        self._role = role
        self._fact = "microbatch_tokens" if role == "learner" else f"{role}_microbatch_tokens"
        self._budget: int | Literal["auto"] = compute.microbatch_tokens
        self.learner = Learner(
            model,
            optimizer_settings(optimizer, num_updates, by_prefix=schedules_by_prefix),
            collectives=SingleProcess(),
            # Measured once in a run's life: another split of the same step rounds otherwise.
            microbatch_tokens=session.fact(self._fact) or "auto" if self._budget == "auto" else self._budget,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from the checkpoint; a budget that the settings name beats the saved one."""
        self.learner.load_state_dict(checkpoint.tensors_of(self._role), checkpoint.state[self._role])
        if self._budget != "auto":
            self.learner.microbatch_tokens = self._budget

    def keep_budget(self) -> None:
        """Later starts of the run find the budget that was measured."""
        if self.learner.microbatch_tokens is not None:
            self._session.keep_fact(self._fact, self.learner.microbatch_tokens)


def snapshot_parts(
    *learners: RunLearner,
) -> tuple[dict[str, Mapping[str, torch.Tensor]], dict[str, Any]]:
    """Tensors by owner, and state, of the learners and of the global random generators.

    Every draw of our recipes has a name of its own; the generators are saved for what users add.
    """
    random_tensors, random_numbers = random_state()
    tensors: dict[str, Mapping[str, torch.Tensor]] = {"random": random_tensors}
    state: dict[str, Any] = {"random": random_numbers}
    for item in learners:
        tensors[item._role], state[item._role] = item.learner.state_dict()
    return tensors, state


def restore_parts(checkpoint: Checkpoint, *learners: RunLearner) -> None:
    """The learners and the global random generators are as `snapshot_parts` found them."""
    for item in learners:
        item.restore(checkpoint)
    restore_random_state(checkpoint.tensors_of("random"), checkpoint.state["random"])


def may_change_on_resume(*optimizers: OptimizerSection) -> frozenset[str]:
    """A schedule that falls towards the last step, or rises for a share of all, depends on how many there are."""
    is_fixed = any(
        section.schedule != "constant" or (section.warmup_share and not section.warmup_steps)
        for section in optimizers
    )
    lengths = {"steps", "epochs"}
    return MAY_CHANGE_ON_RESUME - lengths if is_fixed else MAY_CHANGE_ON_RESUME | lengths
