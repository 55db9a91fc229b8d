"""Several rewards become one: a weighted sum that keeps every part."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from posttrain.errors import ConfigError
from posttrain.rewards.reward import Reward
from posttrain.types import Rollout, Score

Incomplete = Literal["score", "zero", "unscored"]

CUT_BY_LENGTH = "the response was cut by length, and incomplete = 'unscored' leaves such responses out"
"""The failure of responses that are left out on purpose; `scoring.score` does not count them as failures."""


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """One reward with its name among the parts and its weight in the sum."""

    name: str
    reward: Reward
    weight: float = 1.0


class WeightedSum:
    """A `Reward`: value = sum of weight x part, parts kept unweighted under their names.

    One part that is missing or not finite leaves the whole sample unscored, with that part's failure: a sum
    over the others would compare unequal things. `incomplete` says what a response cut by length earns: what
    its terms say ("score"), nothing ("zero"), or no score at all ("unscored").
    """

    def __init__(self, terms: Sequence[WeightedTerm], *, incomplete: Incomplete = "score") -> None:
        if not terms:
            raise ConfigError(
                "a reward needs at least one term; name a verifier, a function or a reward model"
            )
        names = [term.name for term in terms]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(
                f"two reward terms are called {duplicates[0]!r}; give one of them another `label`"
            )
        for term in terms:
            if not math.isfinite(term.weight):
                raise ConfigError(
                    f"the weight of the reward term {term.name!r} must be finite, not {term.weight}"
                )
        if incomplete not in ("score", "zero", "unscored"):
            raise ConfigError(f"incomplete is 'score', 'zero' or 'unscored', not {incomplete!r}")
        self.terms = tuple(terms)
        self.incomplete: Incomplete = incomplete

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score per rollout, in order."""
        judged = [i for i, r in enumerate(rollouts) if r.is_complete or self.incomplete == "score"]
        parts = [ask(term, [rollouts[i] for i in judged]) for term in self.terms]
        combined = dict(zip(judged, map(self._combine, zip(*parts, strict=True)), strict=True))
        return [combined.get(i) or self._of_incomplete() for i in range(len(rollouts))]

    def close(self) -> None:
        """End whatever the terms hold open (worker processes)."""
        for term in self.terms:
            close = getattr(term.reward, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _combine(self, scores: Sequence[Score]) -> Score:
        values = {
            term.name: score.value if score.value is not None and math.isfinite(score.value) else None
            for term, score in zip(self.terms, scores, strict=True)
        }
        failures = [
            f"{term.name}: {score.failure or f'the reward gave {score.value}'}"
            for term, score in zip(self.terms, scores, strict=True)
            if values[term.name] is None
        ]
        if failures:
            return Score(None, values, "\n".join(failures))
        total = sum(term.weight * value for term in self.terms if (value := values[term.name]) is not None)
        if not math.isfinite(total):
            return Score(None, values, f"the weighted sum of the parts is {total}")
        return Score(total, values)

    def _of_incomplete(self) -> Score:
        if self.incomplete == "zero":
            return Score(0.0, {term.name: 0.0 for term in self.terms})
        return Score(None, {term.name: None for term in self.terms}, CUT_BY_LENGTH)


def ask(term: WeightedTerm, rollouts: Sequence[Rollout]) -> list[Score]:
    """The term's scores; a term that raises or answers for another number of rollouts has scored none."""
    if not rollouts:
        return []
    try:
        scores = list(term.reward(rollouts))
    except Exception:
        return [Score(None, failure=traceback.format_exc(limit=-10))] * len(rollouts)
    if len(scores) != len(rollouts):
        reason = f"the reward gave {len(scores)} scores for {len(rollouts)} rollouts"
        return [Score(None, failure=reason)] * len(rollouts)
    return scores
