"""Characters that nobody sees, or that turn text around, made visible.

`mask` runs before Markdown and puts every one of them into a placeholder of private-use characters; `reveal` runs
on the finished, sanitised HTML and turns placeholders into small badges with the code point. In between no rule of
Markdown, no highlighter and no browser meets the real character.
"""

from __future__ import annotations

import re
import unicodedata

_OPEN, _CLOSE = "\ue000", "\ue001"
# Above this many badges the rest becomes U+FFFD: a page of 100,000 badges would be an attack of its own.
_MOST_BADGES = 400
_LONGEST_SPELLED_RUN = 4
# A letter of a living language carries up to about four; what is above is piled up to cover the lines around it.
_MOST_COMBINING = 4

_HIDDEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\ue000-\uf8ff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)
_JOINERS = "\u200c\u200d"  # they shape words of Persian and Hindi, and hold emoji together
_HIDDEN_RUN = re.compile(f"[{_HIDDEN}{_JOINERS}]+")
_PILE = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]{5,}")
_PLACEHOLDER = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}<>&]*){_CLOSE}")
_TAG_OR_TEXT = re.compile("(<[^>]*>)")


def _may_join(text: str, start: int, end: int) -> bool:
    """Whether this is one joiner between two characters that are neither ASCII nor spaces."""
    if end - start != 1 or text[start] not in _JOINERS or start == 0 or end >= len(text):
        return False
    return all(not side.isascii() and not side.isspace() for side in (text[start - 1], text[end]))


def mask(text: str) -> str:
    """`text` in which every hidden character, and every pile of combining marks, is a placeholder."""
    num_badges = 0

    def placeholder(content: str) -> str:
        nonlocal num_badges
        num_badges += 1
        return f"{_OPEN}{content}{_CLOSE}" if num_badges <= _MOST_BADGES else "\ufffd"

    def hide(found: re.Match[str]) -> str:
        if _may_join(text, found.start(), found.end()):
            return found[0]
        run = found[0]
        if len(run) > _LONGEST_SPELLED_RUN:
            return placeholder(f"{len(run)} hidden, first {ord(run[0]):04X}")
        return "".join(placeholder(f"{ord(character):04X}") for character in run)

    masked = _HIDDEN_RUN.sub(hide, text)
    return _PILE.sub(
        lambda pile: pile[0][:_MOST_COMBINING] + placeholder(f"+{len(pile[0]) - _MOST_COMBINING} marks"),
        masked,
    )


def has_mask(text: str) -> bool:
    """Whether `mask` has put a placeholder into this text."""
    return _OPEN in text


def _badge(found: re.Match[str]) -> str:
    content = found[1]
    if content.startswith("+"):
        return f'<span class="hidden-mark" title="piled-up accents are left out">{content}</span>'
    if " hidden" in content:
        return f'<span class="hidden-mark" title="characters that cannot be seen">{content}</span>'
    try:
        name = unicodedata.name(chr(int(content, 16)), "a character that cannot be seen").lower()
    except (ValueError, OverflowError):
        return "\ufffd"
    return f'<span class="hidden-mark" title="{name}">U+{content}</span>'


def reveal(html: str) -> str:
    """Sanitised HTML in which every placeholder between tags is a badge; inside a tag it becomes U+FFFD."""
    if not has_mask(html) and _CLOSE not in html:
        return html
    parts = []
    for part in _TAG_OR_TEXT.split(html):
        shown = part if part.startswith("<") else _PLACEHOLDER.sub(_badge, part)
        parts.append(shown.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd"))
    return "".join(parts)
