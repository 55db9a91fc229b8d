"""What looks wrong in a run, from its metrics rows alone, and what to change. Pure functions over the rows.

Each check looks at the median of the last few steps, so one odd step raises no alarm. A check whose metric was
not logged says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from posttrain.runs.metric_names import finite, number_text, share_text

_Rows = Sequence[Mapping[str, Any]]

WINDOW = 5
"""Steps that a check takes the median of."""
_STEPS_UNTIL_FLAT = 30
_SOLVED = 0.9
_LOSS_BLOCK = 20
_LOSS_STEPS = 2000


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that looks wrong: the metric, its value over the last steps, and what to change."""

    name: str
    metric: str
    value: float
    message: str
    action: str

    def __str__(self) -> str:
        return f"{self.message} {self.action}"


def check_health(rows: _Rows, *, reward_maximum: float | None = None, evaluations: _Rows = ()) -> list[Alarm]:
    """The alarms that the rows raise now, worst first; [] for a healthy run or one too young to judge.

    `rows` are metrics rows, oldest first, `evaluations` rows of evaluations.jsonl. `reward_maximum` is
    the best score there is, if there is one: near it, low entropy and groups without variance are success and raise
    no alarm.
    """
    reward = _recent(rows, "reward_mean")
    is_solved = reward_maximum is not None and reward is not None and reward >= _SOLVED * reward_maximum
    found = [
        _nonfinite(rows),
        *_of_loss_alone(rows, evaluations),
        _rollout_mismatch(rows),
        _unscored(rows),
        _kl(rows),
        None if is_solved else _critic(rows),
        _cut(rows),
        None if is_solved else _zero_variance(rows, reward_maximum),
        None if is_solved else _entropy(rows),
        None if is_solved else _flat_reward(rows),
    ]
    return [alarm for alarm in found if alarm is not None]


def _of_loss_alone(rows: _Rows, evaluations: _Rows) -> list[Alarm | None]:
    """Of a run without rewards. (The loss of a policy says nothing: it may rise while the policy gets better.)"""
    if not rows or "reward_mean" in rows[-1]:
        return []
    return [_rising_loss(rows), _overfitting(rows, evaluations)]


def new_alarms(alarms: Sequence[Alarm], already_told: set[str]) -> list[Alarm]:
    """The alarms that were not told before; their names are added to `already_told`."""
    fresh = [alarm for alarm in alarms if alarm.name not in already_told]
    already_told.update(alarm.name for alarm in fresh)
    return fresh


def _values(rows: _Rows, name: str) -> list[float]:
    found = (finite(row, name) for row in rows)
    return [value for value in found if value is not None]


def _recent(rows: _Rows, name: str, window: int = WINDOW) -> float | None:
    values = _values(rows[-window:], name)
    return median(values) if len(values) == window else None


def _nonfinite(rows: _Rows) -> Alarm | None:
    for name in ("loss", "grad_norm"):
        value = rows[-1].get(name) if rows else None
        if isinstance(value, float) and not math.isfinite(value):
            return Alarm(
                "nonfinite",
                name,
                value,
                f"{name} is {value} at step {rows[-1].get('step')}: the update was not a number.",
                "Go back to the checkpoint before; lower optimizer.learning_rate, or set "
                'compute.dtype = "float32" if it happens again.',
            )
    return None


def _rollout_mismatch(rows: _Rows) -> Alarm | None:
    value = _recent(rows, "rollout_mismatch")
    if value is None or value <= 1.05:
        return None
    return Alarm(
        "rollout_mismatch",
        "rollout_mismatch",
        value,
        f"rollout_mismatch is {number_text(value)} and should be 1: the engine samples from another "
        "distribution than the one that is trained.",
        "Check that engine and learner use the same weights, temperature and dtype; set "
        'compute.dtype = "float32" to see whether precision is the cause.',
    )


def _unscored(rows: _Rows) -> Alarm | None:
    value = _recent(rows, "unscored_share")
    if value is None or value <= 0.05:
        return None
    return Alarm(
        "unscored",
        "unscored_share",
        value,
        f"unscored_share is {share_text(value)}: that part of the responses could not be scored and teaches "
        "nothing, which favours responses that are easy to score.",
        "Look at the failures of unscored samples in samples.html, and mend the reward.",
    )


def _kl(rows: _Rows) -> Alarm | None:
    value = _recent(rows, "reference_kl")
    if value is None or value <= 0.5:
        return None
    return Alarm(
        "kl_exploding",
        "reference_kl",
        value,
        f"reference_kl is {number_text(value)} nats per token: the policy has gone far from the model that "
        "it started from, and may be gaming the reward.",
        "Read recent samples in samples.html. If they are bad, lower optimizer.learning_rate or raise "
        "algorithm.kl_coef, from an earlier checkpoint.",
    )


def _critic(rows: _Rows) -> Alarm | None:
    """Fires when the critic was worse than a constant in each of the last steps, past its beginning."""
    values = _values(rows[-2 * WINDOW :], "explained_variance")
    if len(values) < 2 * WINDOW or max(values) >= 0:
        return None
    value = median(values)
    return Alarm(
        "critic_explains_nothing",
        "explained_variance",
        value,
        f"explained_variance is {number_text(value)} and has been negative for {len(values)} steps: the critic "
        "predicts worse than a constant would, and the advantages carry its errors.",
        "Change critic.optimizer.learning_rate, give the critic a start (critic.policy_starts_after_steps), or "
        "trust it less: algorithm.gae_lambda = 1.",
    )


def _cut(rows: _Rows) -> Alarm | None:
    value = _recent(rows, "cut_share")
    if value is None or value <= 0.25:
        return None
    return Alarm(
        "cut_by_length",
        "cut_share",
        value,
        f"cut_share is {share_text(value)}: that part of the responses ran into the length limit "
        "before an end.",
        "Raise sampling.max_new_tokens; if responses never end, check the end-of-sequence token and the "
        "chat template.",
    )


def _zero_variance(rows: _Rows, reward_maximum: float | None) -> Alarm | None:
    value = _recent(rows, "zero_variance_share")
    if value is None or value <= 0.8:
        return None
    reward = _recent(rows, "reward_mean")
    shown = "" if reward is None else f" (reward_mean is {number_text(reward)})"
    cause = "Where all scores are low the prompts are too hard, where all are high too easy."
    if reward is not None and reward_maximum is not None and reward < 0.2 * reward_maximum:
        cause = "The prompts are too hard for this model."
    return Alarm(
        "no_signal",
        "zero_variance_share",
        value,
        f"zero_variance_share is {share_text(value)}{shown}: in most groups all responses have one score, so "
        "there is nothing to learn from them.",
        f"{cause} Change the prompts, raise responses_per_prompt, or give partial credit in the reward.",
    )


def _entropy(rows: _Rows) -> Alarm | None:
    recent = _recent(rows, "entropy")
    values = [] if recent is None else _values(rows, "entropy")
    if recent is None or len(values) < 2 * WINDOW:
        return None
    start = math.fsum(values[:WINDOW]) / WINDOW
    if start <= 0 or recent > 0.1 * start:
        return None
    return Alarm(
        "entropy_collapse",
        "entropy",
        recent,
        f"entropy fell from {number_text(start)} to {number_text(recent)} nats: the model gives nearly the "
        "same response every time and finds nothing new.",
        "Lower optimizer.learning_rate or raise algorithm.kl_coef, from an earlier checkpoint.",
    )


def _rising_loss(rows: _Rows) -> Alarm | None:
    """Fires when the last steps' mean is above the best one by a tenth and by four standard errors."""
    values = _values(rows[-_LOSS_STEPS:], "loss")
    blocks = [values[end - _LOSS_BLOCK : end] for end in range(len(values), _LOSS_BLOCK - 1, -_LOSS_BLOCK)]
    if len(blocks) < 2:
        return None
    last, best = blocks[0], min(blocks, key=math.fsum)
    recent, lowest = math.fsum(last) / _LOSS_BLOCK, math.fsum(best) / _LOSS_BLOCK
    noise = math.sqrt((_variance(last) + _variance(best)) / _LOSS_BLOCK)
    if recent - lowest <= max(4 * noise, 0.1 * abs(lowest)):
        return None
    return Alarm(
        "loss_rising",
        "loss",
        recent,
        f"loss rose from {number_text(lowest)} to {number_text(recent)}, means of {_LOSS_BLOCK} steps: the run is "
        "coming apart.",
        "Go back to an earlier checkpoint and lower optimizer.learning_rate, or make its warm-up longer.",
    )


def _overfitting(rows: _Rows, evaluations: _Rows) -> Alarm | None:
    """Fires when two held-out losses in a row are above the best by 1 % while the training loss went on falling."""
    found = [(int(row["step"]), finite(row, "loss")) for row in evaluations]
    losses = [(step, loss) for step, loss in found if loss is not None]
    if len(losses) < 3:
        return None
    best_step, best = min(losses, key=lambda pair: pair[1])
    if best_step >= losses[-2][0] or min(loss for _, loss in losses[-2:]) <= 1.01 * best:
        return None
    training = [value for row in rows if int(row["step"]) <= best_step for value in _values([row], "loss")]
    then, now = training[-_LOSS_BLOCK:], _values(rows[-_LOSS_BLOCK:], "loss")
    if not then or not now or median(now) >= median(then):
        return None
    step, last = losses[-1]
    return Alarm(
        "overfitting",
        "loss",
        last,
        f"held-out loss rose from {number_text(best)} at step {best_step} to {number_text(last)} at step {step} "
        f"while the training loss fell from {number_text(median(then))} to {number_text(median(now))}: the model "
        "learns its training data by heart.",
        f"Set steps near {best_step}, use more data or a smaller model, or raise optimizer.weight_decay.",
    )


def _flat_reward(rows: _Rows) -> Alarm | None:
    """Fires when the second half of the recent steps is not above the first by two standard errors."""
    values = _values(rows[-_STEPS_UNTIL_FLAT:], "reward_mean")
    if len(values) < _STEPS_UNTIL_FLAT:
        return None
    half = len(values) // 2
    first, second = values[:half], values[half:]
    rise = math.fsum(second) / len(second) - math.fsum(first) / len(first)
    noise = math.sqrt(_variance(first) / len(first) + _variance(second) / len(second))
    if rise > 2 * noise and rise > 0:
        return None
    recent = math.fsum(second) / len(second)
    return Alarm(
        "reward_flat",
        "reward_mean",
        recent,
        f"reward_mean has not risen measurably in the last {len(values)} steps and is {number_text(recent)}.",
        "If the held-out score stands still too: raise optimizer.learning_rate, use easier prompts, or stop "
        "here. If grad_norm is 0, nothing is being trained.",
    )


def _variance(values: Sequence[float]) -> float:
    centre = math.fsum(values) / len(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
