"""Reward functions of the user, as TRL, verl or plain verifiers write them, each run in isolated workers.

| style | signature | called |
|---|---|---|
| `trl` | `f(prompts, completions, **columns) -> list[float or None]` | once a batch |
| `verl` | `compute_score(data_source, solution_str, ground_truth, extra_info=None) -> float` | once a sample |
| `verifier` | `f(completion, columns, **options) -> float` | once a sample |
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from posttrain.errors import ConfigError
from posttrain.rewards.user_function import LoadableFunction, from_callable, from_reference, parameter_names
from posttrain.rewards.worker import Call, CallResult, RewardLimits, WorkerPool
from posttrain.types import Prompt, Rollout, Score

Style = Literal["trl", "verl", "verifier"]

MAX_TIMEOUTS_PER_CALL = 4
"""After so many samples that hang, the rest of the call is left unscored instead of waiting for each."""


class FunctionReward:
    """A `Reward` that asks a function in worker processes; whatever it does, the rollouts come back scored or not.

    When the call of a whole batch fails, it is repeated sample by sample, so that only the guilty ones are
    unscored. `close()` (or `with`) ends the workers.

    Example:
        reward = FunctionReward("rewards.py:brevity", style="trl")
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        *,
        style: Style = "trl",
        options: Mapping[str, Any] | None = None,
        limits: RewardLimits | None = None,
        folder: Path | None = None,
    ) -> None:
        loadable = from_reference(function, folder) if isinstance(function, str) else from_callable(function)
        parameters = parameter_names(loadable) if isinstance(function, str) else _signature_names(function)
        _check_style(loadable, style, parameters)
        self.name = loadable.name
        self.style: Style = style
        self.options = dict(options or {})
        self.pool = WorkerPool(
            loadable if style != "trl" else _trl_adapter(loadable), limits or RewardLimits()
        )

    @property
    def fingerprint(self) -> str:
        """A digest of the function's code, for the run's records."""
        return self.pool.function.fingerprint

    def check(self) -> None:
        """Load the function in a worker now; ConfigError with its traceback when that fails."""
        self.pool.check()

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        if not rollouts:
            return []
        results = self._batches(rollouts) if self.style == "trl" else self._each(rollouts)
        return [_score(value) for value in results]

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batches(self, rollouts: Sequence[Rollout]) -> list[float | str]:
        """A contiguous part for each worker; the parts that fail again, one sample at a time."""
        num_parts = min(self.pool.limits.num_workers, len(rollouts))
        bounds = [len(rollouts) * part // num_parts for part in range(num_parts + 1)]
        parts = [rollouts[low:high] for low, high in itertools.pairwise(bounds)]
        values: list[float | str] = []
        for part, result in zip(parts, self.pool.run([self._trl_call(part) for part in parts]), strict=True):
            if result.failure is None:
                values += result.values
            elif len(part) == 1:
                values.append(result.failure)
            else:
                values += self._each(part)
        return values

    def _each(self, rollouts: Sequence[Rollout]) -> list[float | str]:
        """One call for each sample, a few at a time, giving up once too many have hung."""
        make = {
            "trl": lambda r: self._trl_call([r]),
            "verl": self._verl_call,
            "verifier": self._verifier_call,
        }[self.style]
        values: list[float | str] = []
        num_timeouts = 0
        chunk = max(8, self.pool.limits.num_workers) if self.pool.limits.num_workers > 1 else 1
        for start in range(0, len(rollouts), chunk):
            if num_timeouts >= MAX_TIMEOUTS_PER_CALL:
                reason = f"not tried: the function had hung on {num_timeouts} samples of this step already"
                values += [reason] * (len(rollouts) - start)
                break
            results = self.pool.run([make(rollout) for rollout in rollouts[start : start + chunk]])
            num_timeouts += sum(result.timed_out for result in results)
            values += [_single(result) for result in results]
        return values

    def _trl_call(self, rollouts: Sequence[Rollout]) -> Call:
        names = {name for rollout in rollouts for name in rollout.prompt.columns}
        columns = {name: [rollout.prompt.columns.get(name) for rollout in rollouts] for name in sorted(names)}
        given = {
            "prompts": [_trl_prompt(rollout.prompt) for rollout in rollouts],
            "completions": [_trl_completion(rollout) for rollout in rollouts],
            "completion_ids": [list(rollout.response_ids) for rollout in rollouts],
        }
        return Call((), columns | self.options | given, len(rollouts))

    def _verl_call(self, rollout: Rollout) -> Call:
        columns = dict(rollout.prompt.columns)
        reward_model = columns.get("reward_model")
        ground_truth = columns.get("ground_truth")
        if ground_truth is None and isinstance(reward_model, Mapping):
            ground_truth = reward_model.get("ground_truth")
        keywords = {
            "data_source": columns.get("data_source"),
            "solution_str": rollout.text,
            "ground_truth": ground_truth,
            "extra_info": columns.get("extra_info"),
        }
        return Call((), keywords | self.options, None)

    def _verifier_call(self, rollout: Rollout) -> Call:
        return Call((rollout.text, dict(rollout.prompt.columns)), self.options, None)


class TrlAdapter:
    """Calls a TRL-style function with the arguments that it accepts; runs inside the worker."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            self.accepted: set[str] | None = None
            return
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        self.accepted = None if takes_all else {parameter.name for parameter in parameters}

    def __call__(self, **given: Any) -> Any:
        """What the function returns for these columns."""
        if self.accepted is not None:
            given = {name: value for name, value in given.items() if name in self.accepted}
        return self.function(**given)


class AdaptedFunction(LoadableFunction):
    """A function that its worker wraps so that a TRL-style call fits it."""

    __slots__ = ()

    def load(self) -> Callable[..., Any]:
        """The user's function inside a `TrlAdapter`."""
        return TrlAdapter(super().load())


def _trl_adapter(loadable: LoadableFunction) -> AdaptedFunction:
    return AdaptedFunction(loadable.name, loadable.path, loadable.source, loadable.pickled)


def _signature_names(function: Callable[..., Any]) -> list[str] | None:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def _check_style(loadable: LoadableFunction, style: Style, parameters: list[str] | None) -> None:
    if style not in ("trl", "verl", "verifier"):
        raise ConfigError(f"a reward function's style is 'trl', 'verl' or 'verifier', not {style!r}")
    if parameters is None:
        return
    looks_like = (
        "verl"
        if "solution_str" in parameters
        else "trl"
        if "completions" in parameters or "prompts" in parameters
        else ""
    )
    if looks_like and looks_like != style:
        raise ConfigError(
            f"{loadable.path or 'the function'} {loadable.name}({', '.join(parameters)}) looks like a function in the "
            f"style {looks_like!r}, but style = {style!r} was asked for; set style = {looks_like!r}"
        )


def _trl_prompt(prompt: Prompt) -> str | list[dict[str, str]]:
    if isinstance(prompt.content, str):
        return prompt.content
    return [{"role": message["role"], "content": message["content"]} for message in prompt.content]


def _trl_completion(rollout: Rollout) -> str | list[dict[str, str]]:
    # TRL's convention: a conversation is answered by a list with one assistant message.
    if isinstance(rollout.prompt.content, str):
        return rollout.text
    return [{"role": "assistant", "content": rollout.text}]


def _single(result: CallResult) -> float | str:
    return result.values[0] if result.failure is None else result.failure


def _score(value: float | str) -> Score:
    return Score(None, failure=value) if isinstance(value, str) else Score(value)
