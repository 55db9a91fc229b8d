"""The script of words, held against a slow reading that asks unicodedata for every letter's name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rewards.rollouts_for_tests import rollouts

from posttrain.errors import ConfigError
from posttrain.rewards import RewardTerm, build_reward
from posttrain.rewards.language_consistency import language_consistency

SHARES = [
    ("<think>First add 3 and 4.</think><answer>7</answer>", 1.0),
    ("<think>First add 先加</think><answer>7</answer>", 0.5),
    ("<think>先加三四</think><answer>seven</answer>", 0.0),
    ("<think>шесть and six</think>", 2 / 3),
    ("<think>café naïve cafe\u0301</think>", 1.0),  # accents, composed or not, are part of their letter
    ("<think>\u0430nd</think>", 0.0),  # a Cyrillic а in front: the word is not Latin
    ("<think>3 + 4 = 7</think>", 1.0),
    ("<think>x = 𝑥</think>", 1.0),  # mathematical letters belong to no script
    ("<think>an open end", 1.0),
    ("<think>first</think> 先加三四 <think>again</think>", 1.0),  # the first reasoning is what counts
    ("<think> \n </think><answer>7</answer>", 0.0),
    ("no reasoning at all", 0.0),
    ("", 0.0),
]


@pytest.mark.parametrize(("completion", "share"), SHARES)
def test_share_of_words(completion: str, share: float) -> None:
    assert language_consistency(completion, {}) == pytest.approx(share)


def test_part_all_looks_at_everything_but_the_tags() -> None:
    text = "<think>先</think><answer>seven</answer>"
    assert language_consistency(text, {}, part="all") == 0.5
    assert language_consistency(text, {}, part="all", script="Han") == 0.5
    assert language_consistency("<think></think><answer></answer>", {}, part="all") == 0.0


def test_think_prefilled_begins_inside() -> None:
    assert language_consistency("and 先</think><answer>7</answer>", {}, think_prefilled=True) == 0.5
    assert language_consistency("and 先</think><answer>7</answer>", {}) == 0.0


def test_several_scripts() -> None:
    text = "<think>日本語のコード</think>"
    assert language_consistency(text, {}, script=["Han", "Hiragana", "Katakana"]) == 1.0
    assert language_consistency(text, {}, script="Han") == 3 / 6  # 日本語 of 日本語のコド; ー is of no script
    assert language_consistency("<think>2 π r</think>", {}) == 0.5
    assert language_consistency("<think>2 π r</think>", {}, script=["Latin", "Greek"]) == 1.0


LETTERS = {"LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "CJK": "Han"}


@given(
    st.lists(st.text(alphabet="abzéабяαβω三四五 ", max_size=6), max_size=8), st.sampled_from(list(LETTERS))
)
def test_agrees_with_a_slow_reading(pieces: list[str], kind: str) -> None:
    text = " ".join(pieces)
    words: list[list[str]] = []
    previous = ""
    for character in text:
        script = "" if character.isspace() else unicodedata.name(character).split()[0]
        if script == "CJK":
            words.append([script])
        elif script:
            if previous in ("", "CJK"):
                words.append([])
            words[-1].append(script)
        previous = script
    right = sum(set(word) == {kind} for word in words)
    expected = right / len(words) if words else float(bool(text.strip()))
    found = language_consistency(f"<think>{text}</think>", {}, script=LETTERS[kind])
    assert found == pytest.approx(expected)


@given(st.text(max_size=300))
def test_any_text_gives_a_share(text: str) -> None:
    for completion in (text, f"<think>{text}"):
        assert 0.0 <= language_consistency(completion, {}) <= 1.0
        assert 0.0 <= language_consistency(completion, {}, part="all", script=["Han", "Thai"]) <= 1.0


def test_as_a_reward_term() -> None:
    with build_reward([RewardTerm(name="language_consistency", options={"script": ["Latin"]})]) as reward:
        assert [s.value for s in reward(rollouts("<think>one 二</think>", "<think>one</think>"))] == [
            0.5,
            1.0,
        ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"script": "Latn"}, None),  # Unicode's own short name
        ({"script": "Latim"}, "did you mean 'Latin'"),
        ({"script": "Klingon"}, "Unicode has no script 'Klingon'"),
        ({"script": 7}, "a name such as"),
        ({"script": []}, "a name such as"),
        ({"part": "answer"}, "one of think, all"),
        ({"scrip": "Latin"}, "did you mean 'script'"),
    ],
)
def test_wrong_options_are_said_before_a_run(options: dict[str, object], message: str | None) -> None:
    term = RewardTerm(name="language_consistency", options=options)
    if message is None:
        build_reward([term]).close()
        return
    with pytest.raises(ConfigError, match=message):
        build_reward([term])
