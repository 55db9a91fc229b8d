r"""Rules for markdown-it that know the TeX delimiters language models write: ``\( \)`` and ``\[ \]``."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_CLOSERS = {"(": "\\)", "[": "\\]"}


def _inline_formula(state: StateInline, silent: bool) -> bool:
    start = state.pos
    closer = _CLOSERS.get(state.src[start + 1 : start + 2]) if state.src[start] == "\\" else None
    # Where no closer follows once, none follows later: remembered, or many openers would cost quadratic time.
    missing = state.env.setdefault("missing_closers", {}).setdefault(state.src, set()) if closer else set()
    if closer is None or closer in missing:
        return False
    end = state.src.find(closer, start + 2)
    if end < 0:
        missing.add(closer)
        return False
    tex = state.src[start + 2 : end]
    if not tex.strip() or "\n\n" in tex:
        return False
    if not silent:
        token = state.push("math_inline_double" if closer == "\\]" else "math_inline", "math", 0)
        token.content = tex
    state.pos = end + 2
    return True


def _block_formula(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    first = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]]
    if not first.startswith("\\["):
        return False
    lines = []
    for line in range(start_line, end_line):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        text = text[2:] if line == start_line else text
        if line > start_line and not text.strip():
            return False
        before, closer, after = text.partition("\\]")
        lines.append(before)
        if closer:
            if after.strip():
                return False
            if not silent:
                token = state.push("math_block", "math", 0)
                token.content = "\n".join(lines)
                token.block = True
                token.map = [start_line, line + 1]
                state.line = line + 1
            return True
    return False


def bracket_formulas(md: MarkdownIt) -> None:
    r"""Teach `md` ``\(x\)`` in a line and ``\[x\]`` as a block; tokens are those of the dollarmath plugin."""
    md.inline.ruler.before("escape", "bracket_formula", _inline_formula)
    md.block.ruler.before(
        "paragraph", "bracket_formula", _block_formula, {"alt": ["paragraph", "blockquote", "list"]}
    )
