"""One optimiser step for every recipe, however the batch is split and on however many ranks.

objective.num_units -> sum over ranks -> micro-batches: backward(loss_sum / units)
-> agree that all ranks got here -> checks -> sum gradients -> norm -> clip -> AdamW -> schedule
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posttrain.batches import TokenBatch
from posttrain.distributed.collectives import Collectives, SingleProcess, agreed
from posttrain.errors import CheckpointError, ConfigError, InvariantError
from posttrain.training.invariants import check_replicas_equal, fingerprint
from posttrain.training.memory import free_cached_memory, is_out_of_memory, microbatch_budget
from posttrain.training.metrics import Metrics
from posttrain.training.microbatches import plan_microbatches
from posttrain.training.objectives import Batch, BatchT, Objective
from posttrain.training.optimizer import Optimizer, OptimizerSettings

Result = TypeVar("Result")
Check = Callable[[Mapping[str, float]], None]


class TrainableModel(Protocol):
    """What the learner needs of a model; objectives may ask for more."""

    @property
    def model(self) -> nn.Module:
        """The module whose parameters are trained."""
        ...

    def memory_probe(self, tokens: TokenBatch) -> Tensor:
        """A number whose graph is as large as that of a training pass over these rows."""
        ...


class Learner:
    """Updates one model: `update` is one optimiser step on a batch, whatever the objective.

    `microbatch_tokens` is the number of padded tokens of one forward and backward pass; `"auto"` measures it
    at the first use. When memory runs out it is halved, and the step is done again from its start.
    A step whose gradient is NaN or infinite is skipped on every rank and counted; after
    `max_consecutive_skips` in a row InvariantError is raised. So is a batch with nothing to train on skipped.

    Example:
        learner = Learner(policy, OptimizerSettings(LearningRateSchedule(1e-6)))
        old = learner.logprobs(tokens, temperature, minibatches=minibatches)
        metrics = learner.update(batch.select(minibatches[0]), objective)
    """

    def __init__(
        self,
        language_model: TrainableModel,
        settings: OptimizerSettings,
        *,
        collectives: Collectives | None = None,
        microbatch_tokens: int | Literal["auto"] = "auto",
        max_consecutive_skips: int = 5,
    ) -> None:
        if microbatch_tokens != "auto" and not microbatch_tokens > 0:
            raise ConfigError(f'microbatch_tokens must be positive or "auto", got {microbatch_tokens}')
        self.language_model = language_model
        self.collectives: Collectives = SingleProcess() if collectives is None else collectives
        self.optimizer = Optimizer(language_model.model, settings)
        self.microbatch_tokens: int | None = None if microbatch_tokens == "auto" else int(microbatch_tokens)
        self.max_consecutive_skips = max_consecutive_skips
        self.skipped_steps = 0
        self.last_update = Metrics()
        self._consecutive_skips = 0
        self._check_replicas()

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.optimizer.trained[0].parameter.device

    @property
    def steps_taken(self) -> int:
        """Optimiser steps done so far, skipped ones not counted: the schedule's clock."""
        return self.optimizer.steps_taken

    def update(
        self, batch: BatchT, objective: Objective[BatchT], *, check: Check | None = None
    ) -> dict[str, float]:
        """One optimiser step on this rank's share of the batch; what happened, the same on every rank.

        The loss is the sum over all ranks divided by the units of all ranks. `check` sees the numbers before
        the step and may raise. If anything fails on one rank, no rank steps and all raise.
        `last_update` has the same numbers with their weights, to be added up over several updates.
        """
        started_at = time.perf_counter()
        self.optimizer.drop_gradients()  # of an update that an exception ended
        try:
            own_units = agreed(self.collectives, lambda: float(objective.num_units(batch)))
            units = self.collectives.sum(own_units)
            metrics = self._merged(agreed(self.collectives, lambda: self._backward(batch, objective, units)))
            means = metrics.means()
            if check is not None:
                check(means)
            self.last_update = metrics.sum("units", units) + self._step(
                means["microbatches"] > 0 and units > 0
            )
        finally:
            self.optimizer.drop_gradients()
        return self.last_update.means() | {"update_seconds": time.perf_counter() - started_at}

    def logprobs(
        self, tokens: TokenBatch, temperature: float, *, minibatches: Sequence[Sequence[int]] | None = None
    ) -> Float[Tensor, "rows time"]:
        """Logprobs of the response tokens under the weights of now: float32, no graph, 0 under a False mask.

        Pass the `minibatches` (rows of each) that `update` will get, in its first epoch: then the rows meet
        the same neighbours and padding there, and on the first mini-batch the ratio is exactly 1. None means
        that all rows go into one update.
        """
        model: Any = self.language_model
        return self.per_token(tokens, lambda part: model.logprobs(part, temperature), minibatches=minibatches)

    @torch.no_grad()
    def per_token(
        self,
        tokens: TokenBatch,
        compute: Callable[..., Tensor],
        *extras: Tensor,
        minibatches: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """`compute(part, *extras_of_part)` of every micro-batch, put together as `[rows, time, ...]`.

        The micro-batches are those of `logprobs` and `update`, on the learner's device; `extras` are
        `[rows, time, ...]` tensors and are cut alike. Use it for whatever is compared with the policy, such
        as a reference: the same neighbours and padding, so equal weights give equal bits. The result is 0 for
        rows without a counted token, and lies where `tokens` lies.
        """
        parts: Sequence[Sequence[int]] = [range(len(tokens))] if minibatches is None else minibatches

        def run(budget: int) -> Tensor:
            result: Tensor | None = None
            for rows in parts:
                # The very calls of `update`: the mini-batch first, then micro-batches of it.
                minibatch = tokens.select(rows)
                for microrows in self._plan(minibatch, _has_counted(minibatch), budget):
                    part = minibatch.select(microrows)
                    index = torch.tensor([rows[row] for row in microrows], device=tokens.token_ids.device)
                    time = part.max_response_length
                    cut = [extra[index, :time].to(self.device) for extra in extras]
                    found = compute(part.to(self.device), *cut).to(tokens.token_ids.device)
                    if result is None:
                        shape = (len(tokens), tokens.max_response_length, *found.shape[2:])
                        result = found.new_zeros(shape)
                    result[index, :time] = found
            return result if result is not None else torch.zeros(tokens.response_mask.shape)

        self._find_budget(tokens, _has_counted(tokens), self.language_model.memory_probe)
        return self._within_memory(run)

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Flat tensors and a JSON-able dict from which training goes on to the same bits.

        The tensors are the live ones: write them out before the next update. Frozen parameters are not among
        them; they come with the model.
        """
        state = {
            "steps_taken": self.steps_taken,
            "skipped_steps": self.skipped_steps,
            "consecutive_skips": self._consecutive_skips,
            "microbatch_tokens": self.microbatch_tokens,
        }
        return self.optimizer.state_dict(), state

    def load_state_dict(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`, with its micro-batch budget: another split would round otherwise.

        Raises CheckpointError when the state belongs to another model.
        """
        try:
            steps, skipped = int(state["steps_taken"]), int(state["skipped_steps"])
            consecutive, budget = int(state["consecutive_skips"]), state["microbatch_tokens"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the learner's saved state is not complete: {error!r} is wrong in it"
            ) from error
        self.optimizer.load_state_dict(tensors, steps_taken=steps)
        self.skipped_steps, self._consecutive_skips = skipped, consecutive
        self.microbatch_tokens = None if budget is None else int(budget)
        self._check_replicas()

    def _backward(self, batch: BatchT, objective: Objective[BatchT], units: float) -> Metrics:
        """Adds the gradient of this rank's share of `loss_sum / units` to the optimiser's."""
        counted = objective.counted_rows(batch)
        if units <= 0 or not bool(counted.any()):
            return Metrics().sum("microbatches", 0.0)
        self._find_budget(batch, counted, lambda probe: objective(self.language_model, probe)[0])
        attempts = 0

        def compute(budget: int) -> Metrics:
            nonlocal attempts
            attempts += 1
            self.optimizer.drop_gradients()  # half a step's, if memory ran out in the middle
            metrics = Metrics()
            plan = self._plan(batch, counted, budget)
            for rows in plan:
                microbatch = batch.select(rows).to(self.device)
                loss_sum, seen = objective(self.language_model, microbatch)
                (loss_sum / units).backward()
                metrics = metrics + seen
            return metrics.sum("microbatches", float(len(plan)))

        metrics = self._within_memory(compute)
        return metrics.sum("microbatch_retries", float(attempts - 1))

    def _check_replicas(self) -> None:
        if self.collectives.world_size > 1:
            check_replicas_equal(self.collectives.gather(fingerprint(self.optimizer.masters())))

    def _merged(self, metrics: Metrics) -> Metrics:
        if self.collectives.world_size == 1:
            return metrics
        gathered = self.collectives.gather(metrics.to_json())
        return Metrics.from_json(entry for entries in gathered for entry in entries)

    def _step(self, has_gradient: bool) -> Metrics:
        """Clips and steps, or skips; every rank decides the same."""
        reason, norm = "there was nothing to train on", 0.0
        if has_gradient:
            self.collectives.sum_gradients_(self.optimizer.gradients())
            norm = self.optimizer.gradient_norm()
            reason = f"the gradient norm was {norm}"
        # Asked even where the answer is known: ranks must not decide on their own.
        is_skipped = self.collectives.any(not has_gradient or not math.isfinite(norm))
        if is_skipped:
            self._count_skip(reason)
            rate = self.optimizer.settings.schedule.at(self.steps_taken)
        else:
            rate = self.optimizer.step(norm)
            self._consecutive_skips = 0
        outcome = Metrics().mean("grad_norm", total=norm, count=1).mean("learning_rate", total=rate, count=1)
        return outcome.sum("skipped", float(is_skipped)).maximum("skipped_steps", float(self.skipped_steps))

    def _count_skip(self, reason: str) -> None:
        self.skipped_steps += 1
        self._consecutive_skips += 1
        if self._consecutive_skips >= self.max_consecutive_skips:
            raise InvariantError(
                f"{self._consecutive_skips} optimiser steps in a row were skipped; in the last one {reason}. "
                "The weights are those of the last good step. Look at the rewards (NaN? all responses cut "
                "off or unscored?), lower the learning rate, or train in float32."
            )

    def _plan(self, batch: Batch, counted: Tensor, budget: int) -> list[list[int]]:
        lengths, groups = batch.lengths.tolist(), batch.prompt_groups
        return plan_microbatches(lengths, counted.tolist(), budget=budget, groups=groups)

    def _find_budget(self, batch: Any, counted: Tensor, forward: Callable[[Any], Tensor]) -> None:
        """Measures the micro-batch budget on the longest row, once."""
        if self.microbatch_tokens is not None or not bool(counted.any()):
            return
        row = int(torch.where(counted, batch.lengths, -1).argmax())
        probe = batch.select([row]).to(self.device)
        gradient_bytes = sum(
            item.master.numel() * item.master.element_size() for item in self.optimizer.trained
        )
        self.microbatch_tokens = microbatch_budget(
            self.language_model.model,
            lambda: forward(probe),
            num_tokens=int(probe.lengths.max()),
            reserved_bytes=gradient_bytes,
        )

    def _within_memory(self, compute: Callable[[int], Result]) -> Result:
        """What `compute` returns for the budget, which is halved and remembered while memory runs out."""
        while True:
            budget = self.microbatch_tokens or 1
            try:
                return compute(budget)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or budget == 1:
                    raise
            # Outside the except block: the error's traceback would keep the tensors alive.
            self.optimizer.drop_gradients()
            free_cached_memory(self.device)
            self.microbatch_tokens = max(1, budget // 2)


def _has_counted(tokens: TokenBatch) -> Tensor:
    return tokens.response_mask.any(dim=-1)
