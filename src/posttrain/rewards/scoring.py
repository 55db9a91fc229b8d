"""One step's rollouts are scored, and too many failures stop the run with the first one's traceback."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from posttrain.errors import ConfigError, RewardError
from posttrain.rewards.reward import Reward
from posttrain.rewards.weighted_sum import CUT_BY_LENGTH, WeightedTerm, ask
from posttrain.types import Rollout, Score, ScoredRollout


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """The scored rollouts in order, and what went wrong.

    `num_unscored` counts every score without a value; `num_left_out` those of them that were cut by length and
    left out on purpose. `first_failure` is the text of the first real failure.
    """

    scored: list[ScoredRollout]
    num_unscored: int
    num_left_out: int
    first_failure: str | None

    @property
    def failed_share(self) -> float:
        """Real failures among all rollouts of the step, 0.0 where there are no rollouts."""
        return (self.num_unscored - self.num_left_out) / len(self.scored) if self.scored else 0.0


def score(rollouts: Sequence[Rollout], reward: Reward, *, max_unscored_share: float) -> ScoringResult:
    """Every rollout with its score, in order; a value that is not finite counts as unscored.

    RewardError, with the first failure's text, when more than `max_unscored_share` of this step's rollouts could
    not be scored (0.0 stops at the first, 1.0 never).
    """
    if not 0.0 <= max_unscored_share <= 1.0:
        raise ConfigError(f"max_unscored_share is a share between 0 and 1, not {max_unscored_share}")
    scores = [_checked(given) for given in ask(WeightedTerm("reward", reward), rollouts)]
    unscored = [given for given in scores if given.value is None]
    failures = [given.failure for given in unscored if given.failure != CUT_BY_LENGTH]
    result = ScoringResult(
        scored=[ScoredRollout(rollout, given) for rollout, given in zip(rollouts, scores, strict=True)],
        num_unscored=len(unscored),
        num_left_out=len(unscored) - len(failures),
        first_failure=failures[0] if failures else None,
    )
    if result.failed_share > max_unscored_share:
        where = next(
            s.rollout for s in result.scored if s.score.value is None and s.score.failure != CUT_BY_LENGTH
        )
        raise RewardError(
            f"{len(failures)} of {len(scores)} responses could not be scored ({result.failed_share:.0%}, allowed "
            f"{max_unscored_share:.0%}). The first is sample {where.sample_index} of prompt "
            f"{where.prompt.prompt_id!r}:\n{result.first_failure}\n"
            "Correct the reward, or raise max_unscored_share to train on the others."
        )
    return result


def _checked(given: Score) -> Score:
    if given.value is not None and not math.isfinite(given.value):
        return dataclasses.replace(
            given, value=None, failure=given.failure or f"the reward gave {given.value}"
        )
    if given.value is None and given.failure is None:
        return dataclasses.replace(given, failure="the reward gave no value and no reason")
    return given
