from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from tests.rewards.rollouts_for_tests import rollout, rollouts

from posttrain.errors import ConfigError, RewardError
from posttrain.rewards import (
    LengthReward,
    RewardTerm,
    ScriptedReward,
    WeightedSum,
    WeightedTerm,
    build_reward,
    score,
)
from posttrain.types import Rollout, Score


def by_text(**values: float | None) -> ScriptedReward:
    return ScriptedReward(lambda r: values[r.text])


def test_parts_are_kept_unweighted() -> None:
    reward = WeightedSum(
        [WeightedTerm("x", by_text(a=1.0, b=0.0), 0.5), WeightedTerm("y", by_text(a=0.0, b=2.0), 10.0)]
    )
    first, second = reward(rollouts("a", "b"))
    assert first == Score(0.5, {"x": 1.0, "y": 0.0})
    assert second == Score(20.0, {"x": 0.0, "y": 2.0})


def test_zero_is_a_score_and_none_is_not() -> None:
    reward = WeightedSum(
        [WeightedTerm("x", by_text(a=0.0, b=None)), WeightedTerm("y", by_text(a=0.0, b=1.0))]
    )
    first, second = reward(rollouts("a", "b"))
    assert first.value == 0.0
    assert second.value is None
    assert second.parts == {"x": None, "y": 1.0}
    assert second.failure is not None
    assert second.failure.startswith("x: ")


class Raw:
    """A reward that breaks the contract on purpose."""

    def __init__(self, *scores: Score) -> None:
        self.scores = scores

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        return list(self.scores)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_part_that_is_not_finite_voids_its_sample_only(bad: float) -> None:
    reward = WeightedSum([WeightedTerm("x", Raw(Score(bad), Score(1.0)))])
    first, second = reward(rollouts("a", "b"))
    assert first.value is None
    assert str(bad) in str(first.failure)
    assert second.value == 1.0


def test_overflow_of_the_sum_is_no_score() -> None:
    reward = WeightedSum(
        [WeightedTerm("x", Raw(Score(1e308)), 1.0), WeightedTerm("y", Raw(Score(1e308)), 1.0)]
    )
    try:
        (only,) = reward(rollouts("a"))
    except OverflowError:
        pytest.fail("an overflow must not end the run")
    assert only.value is None


def test_wrong_number_of_scores_and_exceptions_are_failures() -> None:
    def broken(_: Sequence[Rollout]) -> list[Score]:
        raise KeyError("gone")

    for reward, words in ((Raw(Score(1.0)), "1 scores for 2 rollouts"), (broken, "KeyError: 'gone'")):
        scores = WeightedSum([WeightedTerm("x", reward)])(rollouts("a", "b"))
        assert [s.value for s in scores] == [None, None]
        assert words in str(scores[0].failure)


def test_responses_cut_by_length() -> None:
    given = [rollout("a"), rollout("a", 1, finish="length"), rollout("a", 2, finish="stop")]
    values = {
        incomplete: [
            s.value for s in WeightedSum([WeightedTerm("x", by_text(a=1.0))], incomplete=incomplete)(given)
        ]  # type: ignore[arg-type]
        for incomplete in ("score", "zero", "unscored")
    }
    assert values == {"score": [1, 1, 1], "zero": [1, 0, 1], "unscored": [1, None, 1]}


def test_responses_left_out_on_purpose_are_no_failures() -> None:
    reward = WeightedSum([WeightedTerm("x", by_text(a=1.0))], incomplete="unscored")
    result = score([rollout("a"), rollout("a", 1, finish="length")], reward, max_unscored_share=0.0)
    assert (result.num_unscored, result.num_left_out, result.first_failure) == (1, 1, None)


@pytest.mark.parametrize(
    "terms", [[], [WeightedTerm("x", Raw()), WeightedTerm("x", Raw())], [WeightedTerm("x", Raw(), math.nan)]]
)
def test_sums_that_cannot_work(terms: list[WeightedTerm]) -> None:
    with pytest.raises(ConfigError):
        WeightedSum(terms)


def test_score_pairs_every_rollout_with_its_own() -> None:
    given = rollouts(*(str(n) for n in range(50)))
    result = score(given, ScriptedReward(lambda r: float(r.text)), max_unscored_share=0.0)
    assert [s.rollout for s in result.scored] == given
    assert [s.score.value for s in result.scored] == list(range(50))


@pytest.mark.parametrize(("allowed", "stops"), [(0.0, True), (0.24, True), (0.25, False), (1.0, False)])
def test_the_share_that_stops_the_run(allowed: float, stops: bool) -> None:
    reward = by_text(a=1.0, b=0.0, c=None, d=0.5)
    given = rollouts("a", "b", "c", "d")
    if stops:
        with pytest.raises(RewardError, match=r"1 of 4 .*25%.*\n?.*prompt 'p/2'"):
            score(given, reward, max_unscored_share=allowed)
    else:
        result = score(given, reward, max_unscored_share=allowed)
        assert result.num_unscored == 1
        assert result.failed_share == 0.25
        assert result.first_failure == "the reward returned None"


def test_the_error_carries_the_traceback() -> None:
    def faulty(_: Rollout) -> float:
        raise ZeroDivisionError("in the middle")

    with pytest.raises(RewardError, match=r"Traceback(.|\n)*ZeroDivisionError: in the middle"):
        score(rollouts("a"), ScriptedReward(faulty), max_unscored_share=0.5)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        score([], by_text(), max_unscored_share=1.5)
    assert score([], by_text(), max_unscored_share=0.0).scored == []


def test_length_reward() -> None:
    assert [LengthReward(minimum=2, maximum=4, slack=2).of_length(n) for n in range(8)] == [
        0,
        0.5,
        1,
        1,
        1,
        0.5,
        0,
        0,
    ]
    assert [LengthReward(target=3).of_length(n) for n in (2, 3, 4)] == [0, 1, 0]
    assert LengthReward(maximum=2)(rollouts("a b", "a b c"))[1].value == 0.0
    assert LengthReward(maximum=3, unit="characters")(rollouts("abc", "abcd"))[1].value == 0.0
    for options in (
        {},
        {"target": 1, "maximum": 2},
        {"minimum": 3, "maximum": 2},
        {"maximum": 2, "unit": "pages"},
    ):
        with pytest.raises(ConfigError):
            LengthReward(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (RewardTerm(name="exact_anser"), "did you mean 'exact_answer'"),
        (RewardTerm(name="zzz"), "known: contains"),
        (RewardTerm(), "one of `name`"),
        (RewardTerm(name="contains", function="a.py:b"), "one of `name`"),
        (RewardTerm(name="exact_answer", options={"mod": "whole"}), "did you mean 'mode'"),
        (RewardTerm(name="exact_answer", options={"mode": "hole"}), "one of final, last_number, whole"),
        (RewardTerm(name="regular_expression"), "needs the option 'pattern'"),
        (RewardTerm(name="regular_expression", options={"pattern": "("}), "malformed"),
        (RewardTerm(name="length_reward", options={"maximun": 3}), "did you mean 'maximum'"),
        (RewardTerm(name="exact_answer", weight=math.inf), "must be finite"),
        (RewardTerm(function="rewards.py"), "path/to/file.py:function"),
    ],
)
def test_terms_that_cannot_work(term: RewardTerm, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_reward([term])


def test_build_of_built_ins() -> None:
    terms = [
        RewardTerm(name="exact_answer", options={"mode": "whole"}),
        RewardTerm(name="length_reward", weight=0.5, options={"maximum": 2}, label="short"),
    ]
    with build_reward(terms) as reward:
        scores = reward(rollouts("7", "it is 7", answer="7"))
    assert scores == [
        Score(1.5, {"exact_answer": 1.0, "short": 1.0}),
        Score(0.0, {"exact_answer": 0.0, "short": 0.0}),
    ]
