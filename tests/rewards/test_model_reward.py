"""A scorer as a reward: complete responses are scored, cut ones earn 0, and no number is no score."""

from __future__ import annotations

import math

import pytest

from posttrain.rewards.build import RewardTerm, build_reward
from posttrain.rewards.model_reward import ModelReward
from posttrain.rewards.scoring import score
from posttrain.types import Prompt, Rollout


class LengthScorer:
    """Scores text by its length; remembers what it was shown."""

    fingerprint = "by-length"

    def __init__(self) -> None:
        self.shown: list[str] = []

    def score_rollouts(self, rollouts):
        self.shown += [rollout.text for rollout in rollouts]
        return [math.nan if rollout.text == "odd" else float(len(rollout.text)) for rollout in rollouts]


def rollout(text: str, reason: str = "eos") -> Rollout:
    return Rollout(Prompt("p", "?"), 0, (4,), (0.0,), reason, text, 0)


def test_cut_responses_earn_nothing_and_are_not_shown():
    scorer = LengthScorer()
    scores = ModelReward(scorer)([rollout("ab"), rollout("abcd", "length"), rollout("abc", "stop")])
    assert [s.value for s in scores] == [2.0, 0.0, 3.0]
    assert scorer.shown == ["ab", "abc"]
    assert [s.value for s in ModelReward(scorer)([rollout("x", "length")])] == [0.0]
    assert ModelReward(scorer)([]) == []


def test_no_number_is_no_score():
    found = score([rollout("odd"), rollout("fine")], ModelReward(LengthScorer()), max_unscored_share=0.5)
    assert [s.score.value for s in found.scored] == [None, 4.0]
    assert "the reward model gave nan" in (found.first_failure or "")


def test_a_term_among_others():
    terms = [
        RewardTerm(model=LengthScorer(), weight=0.5),
        RewardTerm(name="contains", options={"text": "abc"}),
    ]
    with build_reward(terms) as reward:
        (found,) = reward([rollout("abc")])
    assert found.parts == {"reward_model": 3.0, "contains": 1.0}
    assert found.value == pytest.approx(2.5)
