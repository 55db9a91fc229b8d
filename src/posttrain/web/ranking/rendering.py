"""Text that nobody trusts to HTML that cannot act: it runs nothing, loads nothing, and leads nowhere.

text -> hidden characters masked -> Markdown, code, maths -> allowlist of tags (nh3) -> badges for what was hidden.
Whatever is too long, too deep or too slow for Markdown is shown as plain text, and says so.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import nh3

from posttrain.web.ranking.hidden_characters import mask, reveal
from posttrain.web.ranking.markdown_rules import DEEPEST_NESTING, TooSlow, card_markdown

LONGEST_MARKDOWN = 60_000
LONGEST_SHOWN = 60_000
SECONDS_FOR_MARKDOWN = 0.4
_CACHED_CHARACTERS = 30_000_000

Note = Literal["", "long", "deep", "slow", "empty"]

_ANYTHING_SHOWN = re.compile(r"<hr|<math|>[^<]*[^<\s]")
_SPAN_CLASSES = {
    "link", "address", "image-mark", "formula-line", "c-comment", "c-keyword", "c-string", "c-number", "c-name",
    "c-builtin", "c-inserted", "c-deleted",
}  # fmt: skip
_TEXT_TAGS = {
    "p", "br", "hr", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "table",
    "thead", "tbody", "tr", "th", "td", "span", "div",
}  # fmt: skip
_MATH_TAGS = {
    "math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
    "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mtd", "mstyle",
    "mpadded", "mphantom", "menclose",
}  # fmt: skip
_MATH_ATTRIBUTES = {
    "math": {"display"},
    "mo": {"stretchy", "fence", "form", "separator", "largeop", "movablelimits"},
    "mi": {"mathvariant"},
    "mfrac": {"linethickness"},
    "mspace": {"width"},
    "mtable": {"columnalign"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "menclose": {"notation"},
}
# A negative or a huge space could lay a formula over its neighbours.
_HARMLESS_VALUE = re.compile(r"[a-z -]{1,40}|[0-3](\.[0-9]{1,4})?(em|ex)?|[0-9]{1,5}(\.[0-9]{1,4})?[0]?")


def _checked_value(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class" or _HARMLESS_VALUE.fullmatch(value):
        return value
    return None


_CLEANER = nh3.Cleaner(
    tags=_TEXT_TAGS | _MATH_TAGS,
    clean_content_tags={"script", "style"},
    attributes={**_MATH_ATTRIBUTES, "ol": {"start"}},
    attribute_filter=_checked_value,
    allowed_classes={"span": _SPAN_CLASSES, "code": {"formula"}, "div": {"formula-block"}},
    url_schemes=set(),
    link_rel=None,
    strip_comments=True,
)
_MARKDOWN = card_markdown()


@dataclass(frozen=True)
class Rendered:
    """A text as safe HTML.

    `note` says why it is not read as Markdown ("long", "deep", "slow", "empty"; "" when it is), `is_partial` whether
    only the first `LONGEST_SHOWN` characters are in it.
    """

    html: str
    note: Note = ""
    is_partial: bool = False


class RenderingCache:
    """The renderings used last, bounded by their characters; safe to use from several threads."""

    def __init__(self, most_characters: int = _CACHED_CHARACTERS) -> None:
        self._most, self._held = most_characters, 0
        self._entries: OrderedDict[str, Rendered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> Rendered | None:
        """The rendering of `text`, or None."""
        with self._lock:
            rendered = self._entries.get(text)
            if rendered is not None:
                self._entries.move_to_end(text)
            return rendered

    def put(self, text: str, rendered: Rendered) -> None:
        """Keep it, and forget the ones that were used longest ago."""
        with self._lock:
            if text in self._entries:
                return
            self._entries[text] = rendered
            self._held += len(text) + len(rendered.html)
            while self._held > self._most and self._entries:
                old_text, old = self._entries.popitem(last=False)
                self._held -= len(old_text) + len(old.html)


_CACHE = RenderingCache()


def render_plain(text: str, *, is_whole: bool = False) -> Rendered:
    """The text as it is, hidden characters as badges; `is_whole` shows it all, however long it is."""
    is_partial = not is_whole and len(text) > LONGEST_SHOWN
    shown = text[:LONGEST_SHOWN] if is_partial else text
    return Rendered(f'<div class="plain">{reveal(escape(mask(shown), quote=False))}</div>', "", is_partial)


def _plain_because(text: str, note: Note) -> Rendered:
    plain = render_plain(text)
    return Rendered(plain.html, note, plain.is_partial)


def _render(text: str, seconds: float) -> Rendered:
    if len(text) > LONGEST_MARKDOWN:
        return _plain_because(text, "long")
    env = {"deadline": time.monotonic() + seconds}
    try:
        tokens = _MARKDOWN.parse(mask(text), env)
        if any(token.level >= DEEPEST_NESTING - 1 for token in tokens):
            return _plain_because(text, "deep")
        html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env)
    except TooSlow:
        return _plain_because(text, "slow")
    except RecursionError:
        return _plain_because(text, "deep")
    rendered = reveal(_CLEANER.clean(html))
    if text.strip() and not _ANYTHING_SHOWN.search(rendered):
        return _plain_because(
            text, "empty"
        )  # definitions of links, an empty fence: nobody may miss that it is there
    return Rendered(rendered)


def render_markdown(text: str, *, seconds: float = SECONDS_FOR_MARKDOWN) -> Rendered:
    """Safe HTML of a response or a prompt, from a cache when it was asked for before.

    Reading it as Markdown may take `seconds`; then it is shown as plain text.
    """
    rendered = _CACHE.get(text)
    if rendered is None:
        rendered = _render(text, seconds)
        if (
            rendered.note != "slow" or seconds >= SECONDS_FOR_MARKDOWN
        ):  # hurried by others it may do better next time
            _CACHE.put(text, rendered)
    return rendered


def warm_up() -> None:
    """Load what the first text would otherwise wait for: its time limit is not for reading grammars from the disk."""
    for language in ("python", "javascript", "bash", "json", "html", "sql", "c"):
        _render(f"**warm** $x^2$\n\n```{language}\nx = 1\n```", 60.0)


def render_together(texts: Sequence[str], *, seconds: float = 2 * SECONDS_FOR_MARKDOWN) -> list[Rendered]:
    """Each of the texts of one page; all of them together may take about `seconds`."""
    end = time.monotonic() + seconds
    return [
        render_markdown(text, seconds=min(SECONDS_FOR_MARKDOWN, max(0.0, end - time.monotonic())))
        for text in texts
    ]
