"""How Markdown that nobody trusts is read and written: no HTML, no addresses that navigate, a time limit."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html import escape, unescape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from posttrain.web.ranking.bracket_formulas import bracket_formulas
from posttrain.web.ranking.code_colours import colour_code
from posttrain.web.ranking.formulas import formula_to_mathml
from posttrain.web.ranking.hidden_characters import mask

# Deeper quotes and lists than this are no text for people; markdown-it would drop what is inside them.
DEEPEST_NESTING = 40
_MOST_FORMULAS = 200
_LONGEST_SHOWN_ADDRESS = 160
# Headings of a response stand below the page's own: h1 page, h2 responses, h3 the card.
_HEADING_SHIFT = 3
_ENTITY = re.compile(r"&(?:#x[0-9a-f]{1,6}|#[0-9]{1,7}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)


class TooSlow(Exception):
    """The time limit for this text is over; it is shown as plain text."""


def _check(env: EnvType) -> None:
    if time.monotonic() > env["deadline"]:
        raise TooSlow


def _watch_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    _check(state.env)
    return False


def _watch_inline(state: StateInline, silent: bool) -> bool:
    _check(state.env)
    return False


def _entity(state: StateInline, silent: bool) -> bool:
    """An entity, decoded; one that spells a hidden character becomes its placeholder."""
    found = _ENTITY.match(state.src, state.pos) if state.src[state.pos] == "&" else None
    if found is None or (decoded := unescape(found[0])) == found[0]:
        return False
    if not silent:
        state.pending += mask(decoded)
    state.pos = found.end()
    return True


class _CardMarkdown(MarkdownIt):
    """Shows addresses as they are written: decoded, `%E2%80%AE` would be a hidden character behind `mask`."""

    def normalizeLinkText(self, link: str) -> str:
        return link


class _CardRenderer(RendererHTML):
    """Tokens to HTML for a card: addresses are text, images are words, headings stand below the page's."""

    def heading_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return f"<h{min(6, int(tokens[index].tag[1]) + _HEADING_SHIFT)}>"

    def heading_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return f"</h{min(6, int(tokens[index].tag[1]) + _HEADING_SHIFT)}>"

    def link_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        shows_address = tokens[index].info == "auto"
        address = str(tokens[index].attrs.get("href", ""))
        env.setdefault("addresses", []).append("" if shows_address else address)
        return '<span class="link">'

    def link_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        address = env["addresses"].pop()
        return "</span>" + (_shown_address(address) if address else "")

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        alt = escape(self.renderInlineAsText(tokens[index].children or [], options, env))
        return f'<span class="image-mark">image: {alt}</span>' + _shown_address(
            str(tokens[index].attrs["src"])
        )

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        language = tokens[index].info.strip().split(maxsplit=1)[0] if tokens[index].info.strip() else ""
        return _code_block(tokens[index].content, language, env)

    def code_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _code_block(tokens[index].content, "", env)

    def math_inline(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[index].content, env, is_block=False)

    def math_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[index].content, env, is_block=True)

    def math_inline_double(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        # A display formula inside a paragraph: a div there would end the paragraph.
        return f'<span class="formula-line">{_formula(tokens[index].content, env, is_block=False)}</span>'

    def amsmath(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[index].content, env, is_block=True)


def _shown_address(address: str) -> str:
    shown = address if len(address) <= _LONGEST_SHOWN_ADDRESS else address[:_LONGEST_SHOWN_ADDRESS] + "…"
    return f' <span class="address">{escape(shown)}</span>'


def _code_block(code: str, language: str, env: EnvType) -> str:
    _check(env)
    return f"<pre><code>{colour_code(code, language, deadline=env['deadline'])}</code></pre>"


def _formula(tex: str, env: EnvType, *, is_block: bool) -> str:
    _check(env)
    env["num_formulas"] = env.get("num_formulas", 0) + 1
    if env["num_formulas"] > _MOST_FORMULAS:
        return f'<code class="formula">{escape(tex)}</code>'
    return formula_to_mathml(tex.strip(), is_block=is_block)


def card_markdown() -> MarkdownIt:
    """CommonMark with tables, strikethrough and maths, HTML off; `env["deadline"]` is the time it must end."""
    md = _CardMarkdown(
        "commonmark",
        {"html": False, "breaks": True, "maxNesting": DEEPEST_NESTING},
        renderer_cls=_CardRenderer,
    )
    md.enable(["table", "strikethrough"]).disable(["html_block", "html_inline", "entity"])
    dollar_options: dict[str, Any] = {"allow_labels": False, "allow_space": False, "allow_digits": False}
    dollarmath_plugin(md, double_inline=True, **dollar_options)
    amsmath_plugin(md)
    for name in ("math_inline", "math_block", "math_inline_double", "amsmath"):
        md.add_render_rule(name, getattr(_CardRenderer, name))  # the plugins have put their own in
    bracket_formulas(md)
    md.inline.ruler.before("text", "watch", _watch_inline)
    md.inline.ruler.after("backticks", "hidden_entity", _entity)
    md.block.ruler.before(
        "table", "watch", _watch_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    return md
