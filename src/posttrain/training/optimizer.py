"""AdamW on float32 master weights: gradients in, parameters changed, all of it savable as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from posttrain.errors import CheckpointError, ConfigError
from posttrain.training.dithered_rounding import round_dithered_
from posttrain.training.schedule import LearningRateSchedule

NORM_CHUNK = 1 << 16  # elements; a float32 norm of 28 million elements at once is off by 1.5e-3 on CPU


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW's settings (arXiv 1711.05101); `max_grad_norm=None` does not clip.

    `schedules_by_prefix` gives parameters whose names start so a learning rate of their own.
    `weight_decay` acts on matrices only: not on norms, biases and other one-dimensional parameters, nor on
    embeddings (nor on a head tied to one).
    """

    schedule: LearningRateSchedule
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    schedules_by_prefix: Mapping[str, LearningRateSchedule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ConfigError(f"max_grad_norm must be positive, got {self.max_grad_norm}; None does not clip")
        if not all(0 <= beta < 1 for beta in self.betas) or not self.epsilon > 0 or self.weight_decay < 0:
            raise ConfigError(
                "betas lie in [0, 1), epsilon is positive and weight_decay is not negative, got "
                f"{self.betas}, {self.epsilon} and {self.weight_decay}"
            )

    def schedule_of(self, name: str) -> LearningRateSchedule:
        """The learning rate of the parameter of this name."""
        own = (s for prefix, s in self.schedules_by_prefix.items() if name.startswith(prefix))
        return next(own, self.schedule)


@dataclass(eq=False)
class TrainedParameter:
    """A parameter of the model, the master that the optimiser changes, and the gradient summed so far.

    A float32 (or float64) parameter is its own master. For a bfloat16 one the master is a float32 copy.
    """

    name: str
    parameter: nn.Parameter
    master: Tensor
    decays: bool
    gradient: Tensor | None = field(default=None, repr=False)

    @property
    def has_own_master(self) -> bool:
        """True for half-precision parameters, which round a separate float32 master."""
        return self.master is not self.parameter


class Optimizer:
    """Steps AdamW over a model's trainable parameters; frozen ones are never touched, tied ones step once.

    In bfloat16 an update of lr 1e-6 is lost to rounding (8 bits of mantissa), and so are small gradients
    added up over micro-batches. So half-precision parameters get a float32 master and a float32 gradient sum:
    a hook adds each micro-batch's gradient into it as soon as autograd has finished it and frees the
    half-precision one; after a step the masters are rounded into the parameters (see `dithered_rounding`).
    A parameter that got no gradient counts as having gradient 0, so that the step does not depend on which
    rank or micro-batch used it.

    Memory per trained parameter, beside the parameter: moments 8 bytes, gradient 4 from the first backward to
    the step, and in half precision 4 for the master.
    Raises ConfigError for a model without trainable parameters, or with float16 ones.
    """

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        self.settings = settings
        self.steps_taken = 0
        self.trained = list(_trained_parameters(model))
        if not self.trained:
            raise ConfigError(
                "the model has no trainable parameter (requires_grad is False everywhere), so training would "
                "silently do nothing: unfreeze it, or add an adapter"
            )
        for item in self.trained:
            if item.has_own_master:
                item.parameter.register_post_accumulate_grad_hook(_gradient_taker(item))
        self._adam = self._make_adam()

    def gradients(self) -> list[Tensor]:
        """The gradient of every trained parameter, in the masters' precision; zeros where none came."""
        found = []
        for item in self.trained:
            if not item.has_own_master:
                item.gradient = item.parameter.grad
            if item.gradient is None:
                item.gradient = torch.zeros_like(item.master)
            if not item.has_own_master:
                item.parameter.grad = item.gradient
            found.append(item.gradient)
        return found

    def drop_gradients(self) -> None:
        """Forget what backward has added up, and free it."""
        for item in self.trained:
            item.gradient = None
            item.parameter.grad = None
            if item.has_own_master:
                item.master.grad = None

    def gradient_norm(self) -> float:
        """The 2-norm of all gradients together; NaN or infinite when one of their elements is."""
        return global_norm(self.gradients())

    def step(self, gradient_norm: float) -> float:
        """Clips by the given norm, steps at the schedules' rates, drops the gradients; returns the main rate."""
        gradients = self.gradients()
        limit = self.settings.max_grad_norm
        if limit is not None and gradient_norm > limit:
            torch._foreach_mul_(gradients, limit / gradient_norm)
        for group in self._adam.param_groups:
            group["lr"] = group["schedule"].at(self.steps_taken)
        for item in self.trained:
            item.master.grad = item.gradient
        self._adam.step()
        rate = self.settings.schedule.at(self.steps_taken)
        self.steps_taken += 1
        self.drop_gradients()
        self._round_masters_into_parameters()
        return rate

    def masters(self) -> dict[str, Tensor]:
        """The full-precision value of every trained parameter by its name in the model; not copies."""
        return {item.name: item.master.detach() for item in self.trained}

    def state_dict(self) -> dict[str, Tensor]:
        """`master/<name>`, `first_moment/<name>` and `second_moment/<name>` of each parameter; not copies."""
        tensors: dict[str, Tensor] = {}
        for item in self.trained:
            state = self._adam.state[item.master]
            tensors[f"master/{item.name}"] = item.master.detach()
            tensors[f"first_moment/{item.name}"] = state["exp_avg"]
            tensors[f"second_moment/{item.name}"] = state["exp_avg_sq"]
        return tensors

    @torch.no_grad()
    def load_state_dict(self, tensors: Mapping[str, Tensor], *, steps_taken: int) -> None:
        """Continue from a saved state, bit for bit; CheckpointError when it belongs to another model."""
        own = self.state_dict()
        # Everything is compared before anything is copied: a failed load leaves the optimiser as it was.
        if own.keys() != tensors.keys():
            odd = sorted(own.keys() ^ tensors.keys())
            raise CheckpointError(
                "the saved optimiser state and this model do not name the same parameters; "
                f"{len(odd)} differ, for instance {odd[:3]}: resume with the same model, adapter and frozen "
                "parts as the saved run"
            )
        for name, tensor in tensors.items():
            if own[name].shape != tensor.shape or own[name].dtype != tensor.dtype:
                raise CheckpointError(
                    f"{name} is {tensor.dtype} {list(tensor.shape)} in the checkpoint but {own[name].dtype} "
                    f"{list(own[name].shape)} here: resume with the same model and the same precision"
                )
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
        for item in self.trained:
            self._adam.state[item.master]["step"].fill_(float(steps_taken))
        self.steps_taken = steps_taken
        self.drop_gradients()
        self._round_masters_into_parameters()

    def _make_adam(self) -> torch.optim.AdamW:
        groups = [
            {
                "params": [
                    item.master
                    for item in self.trained
                    if item.decays is decays and self.settings.schedule_of(item.name) is schedule
                ],
                "weight_decay": decay,
                "schedule": schedule,
            }
            for schedule in (self.settings.schedule, *self.settings.schedules_by_prefix.values())
            for decays, decay in ((True, self.settings.weight_decay), (False, 0.0))
        ]
        # fused: one pass over memory; 2.4 times as fast as the plain loop on a CPU with float32 or float64
        adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=0.0,
            betas=self.settings.betas,
            eps=self.settings.epsilon,
            fused=True,
        )
        for item in self.trained:
            # Made now and not in the first step, so that memory is known before the first rollout.
            adam.state[item.master] = {
                "step": torch.zeros((), dtype=torch.float32, device=item.master.device),
                "exp_avg": torch.zeros_like(item.master),
                "exp_avg_sq": torch.zeros_like(item.master),
            }
        return adam

    @torch.no_grad()
    def _round_masters_into_parameters(self) -> None:
        for index, item in enumerate(self.trained):
            if item.has_own_master:
                # An odd multiple: no two parameters get the same thresholds side by side.
                round_dithered_(item.parameter, item.master, offset=index * 40_503)


def global_norm(tensors: list[Tensor]) -> float:
    """The 2-norm over all elements of all tensors; 0.0 of none.

    Squares are added in float32 over chunks only and in float64 beyond: as exact as a float64 norm (2e-7) at
    a hundredth of its time.
    """
    chunks = [chunk for tensor in tensors for chunk in tensor.detach().reshape(-1).split(NORM_CHUNK)]
    if not chunks:
        return 0.0
    norms = torch.stack([norm.double() for norm in torch._foreach_norm(chunks)])
    return math.sqrt(float(norms.square().sum())) if bool(norms.isfinite().all()) else float(norms.sum())


def _trained_parameters(model: nn.Module) -> Iterator[TrainedParameter]:
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    # named_parameters yields a tied parameter once, under its first name
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dtype not in (torch.float32, torch.float64, torch.bfloat16):
            raise ConfigError(
                f"parameter {name} is {parameter.dtype}, which would need loss scaling: load the model in "
                "bfloat16 or float32"
            )
        half = parameter.dtype == torch.bfloat16
        yield TrainedParameter(
            name=name,
            parameter=parameter,
            master=parameter.detach().float() if half else parameter,
            decays=parameter.dim() >= 2 and id(parameter) not in embeddings,
        )


def _gradient_taker(item: TrainedParameter) -> Callable[[Tensor], None]:
    """A hook that adds a parameter's finished gradient to its float32 sum, and frees it."""

    def take(parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        if item.gradient is None:
            item.gradient = gradient.float()
        else:
            item.gradient.add_(gradient)
        parameter.grad = None

    return take
