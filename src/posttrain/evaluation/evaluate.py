"""How good the model is on prompts that it is not trained on, and how sure that is.

Random numbers are evaluation's own and the same at every call: training samples do not depend on whether or
when a run evaluates, and two models evaluated on the same prompts are compared sample by sample.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from posttrain.errors import DataError, RewardError
from posttrain.evaluation.intervals import (
    Z_95,
    clustered_wilson_interval,
    mean,
    pass_at_k,
    powers_of_two_up_to,
    standard_error,
)
from posttrain.evaluation.printable import printable, shortened
from posttrain.evaluation.sample import Sample
from posttrain.types import Prompt, Sampling, Score, ScoredRollout

if TYPE_CHECKING:
    from posttrain.rewards.reward import Reward
    from posttrain.rollouts.engine import Progress, RolloutEngine

CORRECT = 1.0
"""A response is correct when its score reaches this; verifiers give 1 for right and 0 for wrong."""


@dataclass(frozen=True, slots=True)
class PromptResult:
    """One prompt's responses; `scores` has None where a response could not be scored."""

    prompt_id: str
    scores: tuple[float | None, ...]
    lengths: tuple[int, ...]
    num_cut: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "prompt_id": self.prompt_id,
            "scores": list(self.scores),
            "lengths": list(self.lengths),
            "num_cut": self.num_cut,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The result of a `to_dict`."""
        return cls(row["prompt_id"], tuple(row["scores"]), tuple(row["lengths"]), row["num_cut"])

    @property
    def scored(self) -> tuple[float, ...]:
        """The scores that there are."""
        return tuple(score for score in self.scores if score is not None)

    @property
    def num_correct(self) -> int:
        """Responses with the full score."""
        return sum(score >= CORRECT for score in self.scored)

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores that there are, or None."""
        return mean(self.scored) if self.scored else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of one model on fixed prompts; shares are between 0 and 1, lengths in tokens.

    `accuracy` is the mean over prompts of each prompt's mean score; its `standard_error` is clustered by
    prompt (None for one prompt) and `accuracy_interval` is the 95 % interval from it. `correct_share` counts
    responses with the full score of 1, with a Wilson interval. `pass_at[k]` is the unbiased estimate of the
    chance that one of k responses is correct, over the prompts with k scored responses.
    Responses that could not be scored count in `unscored_share` and lengths, and nowhere else.
    """

    num_prompts: int
    samples_per_prompt: int
    accuracy: float
    standard_error: float | None
    accuracy_interval: tuple[float, float] | None
    correct_share: float
    correct_interval: tuple[float, float]
    pass_at: dict[int, float]
    mean_length: float
    max_length: int
    cut_share: float
    unscored_share: float
    prompts: tuple[PromptResult, ...]
    samples: tuple[Sample, ...]

    def to_dict(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Plain JSON values: the metrics, `prompts` row by row, and `samples` with their text."""
        row: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "num_prompts",
                "samples_per_prompt",
                "accuracy",
                "standard_error",
                "correct_share",
                "mean_length",
                "max_length",
                "cut_share",
                "unscored_share",
            )
        }
        row["accuracy_interval"] = None if self.accuracy_interval is None else list(self.accuracy_interval)
        row["correct_interval"] = list(self.correct_interval)
        row["pass_at"] = {str(k): value for k, value in self.pass_at.items()}
        row["prompts"] = [prompt.to_dict() for prompt in self.prompts]
        if with_samples:
            row["samples"] = [sample.to_dict() for sample in self.samples]
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The evaluation of a `to_dict`, also after JSON; without samples when the row has none."""
        values: dict[str, Any] = {part.name: row.get(part.name) for part in dataclasses.fields(cls)}
        interval = row["accuracy_interval"]
        values["accuracy_interval"] = None if interval is None else (interval[0], interval[1])
        values["correct_interval"] = (row["correct_interval"][0], row["correct_interval"][1])
        values["pass_at"] = dict(sorted((int(k), v) for k, v in row["pass_at"].items()))
        values["prompts"] = tuple(PromptResult.from_dict(prompt) for prompt in row["prompts"])
        values["samples"] = tuple(Sample.from_dict(sample) for sample in row.get("samples", ()))
        return cls(**values)

    def summary(self) -> str:
        """One line for people."""
        error = "" if self.standard_error is None else f" +- {self.standard_error:.3f}"
        best = max(self.pass_at, default=1)
        shown = f", pass@{best} {self.pass_at[best]:.3f}" if best > 1 else ""
        return (
            f"accuracy {self.accuracy:.3f}{error}{shown}, length {self.mean_length:.1f}, "
            f"cut {self.cut_share:.1%}, unscored {self.unscored_share:.1%} "
            f"({self.num_prompts} x {self.samples_per_prompt} responses)"
        )


def evaluation_sampling(sampling: Sampling) -> Sampling:
    """`sampling` with evaluation's own random numbers: a seed made from the run's seed, step 0."""
    digest = hashlib.sha256(f"posttrain evaluation {sampling.seed}".encode()).digest()
    return dataclasses.replace(sampling, seed=int.from_bytes(digest[:4], "big"), step=0)


def evaluate(
    engine: RolloutEngine,
    prompts: Sequence[Prompt],
    reward: Reward,
    sampling: Sampling,
    samples_per_prompt: int,
    *,
    max_unscored_share: float = 0.1,
    progress: Progress | None = None,
) -> Evaluation:
    """Metrics of the engine's current weights on `prompts`; the same weights give the same metrics.

    `sampling` is the training's: its seed and step are replaced by evaluation's own.
    DataError: no prompts, or two with one id. RewardError: more than `max_unscored_share` of the responses,
    or all of them, could not be scored. ValueError: samples_per_prompt below 1.
    """
    _check_prompts(prompts, samples_per_prompt)
    rollouts = engine.generate(prompts, evaluation_sampling(sampling), samples_per_prompt, progress=progress)
    if len(rollouts) != len(prompts) * samples_per_prompt:
        raise RuntimeError(
            f"the engine gave {len(rollouts)} rollouts for {len(prompts)} prompts x {samples_per_prompt}; "
            "RolloutEngine.generate must give every one"
        )
    scores = list(reward(rollouts))
    if len(scores) != len(rollouts):
        raise RewardError(
            f"the reward gave {len(scores)} scores for {len(rollouts)} responses, so they cannot be matched. "
            "It must return one score per response, in order."
        )
    samples = tuple(
        Sample.of(ScoredRollout(rollout, _checked(score)))
        for rollout, score in zip(rollouts, scores, strict=True)
    )
    _check_unscored(samples, max_unscored_share)
    return _metrics(samples, samples_per_prompt)


def _check_prompts(prompts: Sequence[Prompt], samples_per_prompt: int) -> None:
    if samples_per_prompt < 1:
        raise ValueError(
            f"samples_per_prompt = {samples_per_prompt}, but a prompt needs at least one response"
        )
    if not prompts:
        raise DataError("there are no prompts to evaluate on. Give a held-out set with at least one prompt.")
    (name, count), *_ = Counter(prompt.group_id for prompt in prompts).most_common(1)
    if count > 1:
        raise DataError(
            f"the prompt {printable(name)!r} stands {count} times in the evaluation set, and would get "
            "the same responses each time. Remove the copies, or give each an id of its own."
        )


def _checked(score: Score) -> Score:
    """The score, with a number that is not finite turned into "could not be scored"."""
    if score.value is None or math.isfinite(score.value):
        return score
    return dataclasses.replace(score, value=None, failure=score.failure or f"the score was {score.value}")


def _check_unscored(samples: Sequence[Sample], max_unscored_share: float) -> None:
    failures = [sample for sample in samples if sample.score is None]
    share = len(failures) / len(samples)
    if not failures or (share <= max_unscored_share and len(failures) < len(samples)):
        return
    first = failures[0]
    raise RewardError(
        f"{len(failures)} of {len(samples)} evaluation responses could not be scored ({share:.0%}, and at "
        f"most {max_unscored_share:.0%} may be), so the accuracy would mean little. "
        f"The first, on prompt {printable(first.prompt_id)!r}: "
        f"{printable(shortened(first.failure or 'no reason given', 600), keep_newlines=True)}\n"
        "Mend the reward, or raise max_unscored_share."
    )


def _metrics(samples: tuple[Sample, ...], samples_per_prompt: int) -> Evaluation:
    prompts = tuple(
        _prompt_result(samples[start : start + samples_per_prompt])
        for start in range(0, len(samples), samples_per_prompt)
    )
    means = [prompt.mean_score for prompt in prompts if prompt.mean_score is not None]
    correct = [prompt.num_correct / len(prompt.scored) for prompt in prompts if prompt.scored]
    num_scored = sum(len(prompt.scored) for prompt in prompts)
    accuracy, error = mean(means), standard_error(means)
    lengths = [sample.length for sample in samples]
    return Evaluation(
        num_prompts=len(prompts),
        samples_per_prompt=samples_per_prompt,
        accuracy=accuracy,
        standard_error=error,
        accuracy_interval=None if error is None else (accuracy - Z_95 * error, accuracy + Z_95 * error),
        correct_share=mean(correct),
        correct_interval=clustered_wilson_interval(correct, num_scored),
        pass_at=_pass_at(prompts, samples_per_prompt),
        mean_length=mean(lengths),
        max_length=max(lengths),
        cut_share=sum(prompt.num_cut for prompt in prompts) / len(samples),
        unscored_share=1 - num_scored / len(samples),
        prompts=prompts,
        samples=samples,
    )


def _prompt_result(samples: Sequence[Sample]) -> PromptResult:
    return PromptResult(
        prompt_id=samples[0].prompt_id,
        scores=tuple(sample.score for sample in samples),
        lengths=tuple(sample.length for sample in samples),
        num_cut=sum(sample.is_cut for sample in samples),
    )


def _pass_at(prompts: Sequence[PromptResult], samples_per_prompt: int) -> dict[int, float]:
    estimates = {}
    for k in powers_of_two_up_to(samples_per_prompt):
        enough = [prompt for prompt in prompts if len(prompt.scored) >= k]
        if enough:
            estimates[k] = mean([pass_at_k(len(p.scored), p.num_correct, k) for p in enough])
    return estimates
