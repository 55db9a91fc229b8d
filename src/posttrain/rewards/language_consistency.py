"""Whether a reasoning stays in one script: what R1 adds to its reward so that people can read the thinking.

DeepSeek-R1 (arXiv 2501.12948, section 2.3.2) rewards "the proportion of target language words" in the chain of
thought. What is measured here is the script of each word, by Unicode. That tells English from Chinese, Russian or
Arabic; it cannot tell English from French or Indonesian, whose words are all Latin letters.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import regex

from posttrain.errors import ConfigError

Part = Literal["think", "all"]

USUAL_SCRIPTS = (
    "Latin", "Han", "Cyrillic", "Arabic", "Devanagari", "Bengali", "Hiragana", "Katakana", "Hangul", "Greek",
    "Hebrew", "Thai", "Tamil", "Telugu", "Gujarati", "Kannada", "Malayalam", "Gurmukhi", "Armenian", "Georgian",
    "Ethiopic", "Khmer", "Lao", "Myanmar", "Sinhala", "Tibetan",
)  # fmt: skip
"""Names that an unknown one is compared with; any script that Unicode names can be given."""

# A word is a run of letters with their marks; in scripts that put no spaces between words, each letter counts.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
# Letters of no script (Common: ª, the mathematical 𝑥, the Japanese length mark) say nothing of the language.
_LETTER = r"[\p{L}--\p{Common}--\p{Inherited}]"
_WORD = regex.compile(rf"(?V1){_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED}){_LETTER}\p{{M}}*)+")
_TAG = regex.compile(r"</?(?:think|answer)>")


def language_consistency(
    completion: str,
    columns: Mapping[str, Any],
    *,
    script: str | Sequence[str] = "Latin",
    part: Part = "think",
    think_prefilled: bool = False,
) -> float:
    """The share of the words that are written in the script, from 0.0 to 1.0.

    `script` is a Unicode script ("Latin", "Han", "Cyrillic") or several of them: Japanese is ["Han", "Hiragana",
    "Katakana"], and with ["Latin", "Greek"] the letter π is no foreign word. A word counts when all its letters are
    of these scripts. `part="think"` looks at what stands inside <think>, to the end where it is not closed;
    `part="all"` at everything but the tags. `think_prefilled=True` when the prompt ends in `<think>`.
    Text without a letter ("3 + 4 = 7") is in no wrong language: 1.0. No text, or no <think> to look at: 0.0.
    """
    text = _part_of("<think>" + completion if think_prefilled else completion, part)
    if not text.strip():
        return 0.0
    words = _WORD.findall(text)
    if not words:
        return 1.0
    wanted = _compiled((script,) if isinstance(script, str) else tuple(script))
    return sum(wanted.fullmatch(word) is not None for word in words) / len(words)


def check_script(script: Any) -> None:
    """ConfigError unless it names one script, or several, that Unicode knows."""
    names = (script,) if isinstance(script, str) else script
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f'language_consistency: script is a name such as "Latin", or a list of names, not {script!r}'
        )
    _compiled(tuple(names))


@lru_cache(maxsize=64)
def _compiled(scripts: tuple[str, ...]) -> regex.Pattern[str]:
    """What a word of these scripts matches."""
    for script in scripts:
        try:
            regex.compile(rf"\p{{Script={script}}}")
        except regex.error:
            near = difflib.get_close_matches(script.capitalize(), USUAL_SCRIPTS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"usual ones: {', '.join(USUAL_SCRIPTS[:8])}"
            raise ConfigError(
                f"language_consistency: Unicode has no script {script!r}; {hint} A script is no language: "
                'English, French and Turkish are "Latin".'
            ) from None
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + r"\p{M}]+")


def _part_of(text: str, part: Part) -> str:
    if part == "all":
        return str(_TAG.sub(" ", text))
    _, opened, inside = text.partition("<think>")
    return inside.partition("</think>")[0] if opened else ""
