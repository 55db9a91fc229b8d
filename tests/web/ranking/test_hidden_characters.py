"""What nobody can see is shown, and what people write in living languages is left alone."""

from __future__ import annotations

import pytest

from posttrain.web.ranking.hidden_characters import mask, reveal


def shown(text: str) -> str:
    return reveal(mask(text))


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u202e", "right-to-left override"),
        ("\u2066", "left-to-right isolate"),
        ("\u200b", "zero width space"),
        ("\u200f", "right-to-left mark"),
        ("\ufeff", "zero width no-break space"),
        ("\u00ad", "soft hyphen"),
        ("\U000e0041", "tag latin capital letter a"),
        ("\x00", "a character that cannot be seen"),
        ("\x1b", "a character that cannot be seen"),
        ("\ud800", "a character that cannot be seen"),
        ("\ue000", "a character that cannot be seen"),
        ("\U0010ffff", "a character that cannot be seen"),
    ],
)
def test_hidden_character_becomes_a_badge_with_its_name(character: str, name: str) -> None:
    html = shown(f"a{character}b")
    assert html == f'a<span class="hidden-mark" title="{name}">U+{ord(character):04X}</span>b'
    html.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\r\n",
        "naïve façade",
        "می‌خواهم",
        "क्‍ष",
        "👩‍👩‍👧",
        "❤️",
        "日本語",
        "ế",
        "שלום עולם",
        "a\u00a0b",
    ],
)
def test_living_languages_and_emoji_stay_as_they_are(text: str) -> None:
    assert shown(text) == text


def test_joiner_between_ascii_letters_is_hidden_text() -> None:
    assert "U+200D" in shown("pass\u200dword")
    assert "U+200C" in shown("a \u200c b")


def test_run_of_hidden_characters_is_one_badge() -> None:
    assert shown("\u200b" * 57).count("<span") == 1
    assert "57 hidden, first 200B" in shown("\u200b" * 57)


def test_piled_accents_keep_a_few_and_count_the_rest() -> None:
    html = shown("a" + "\u0301" * 50 + "b")
    assert html.count("\u0301") == 4
    assert "+46 marks" in html


def test_number_of_badges_is_bounded() -> None:
    html = shown("\u202ea" * 50_000)
    assert html.count("<span") == 400
    assert html.count("\ufffd") == 49_600


def test_placeholder_written_by_the_model_is_no_placeholder() -> None:
    assert shown("\ue000202E\ue001").count("U+E000") == 1
    assert "override" not in shown("\ue000202E\ue001")


def test_placeholder_inside_a_tag_never_becomes_a_tag() -> None:
    assert reveal('<p title="\ue000202E\ue001">x</p>') == '<p title="\ufffd202E\ufffd">x</p>'


def test_unknown_placeholder_contents_are_harmless() -> None:
    assert reveal("\ue000zz\ue001") == "\ufffd"
    assert reveal("\ue000FFFFFFFFFF\ue001") == "\ufffd"
