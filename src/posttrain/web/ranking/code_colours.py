"""Code blocks with coloured words: spans with a few classes of our own, never a style attribute."""

from __future__ import annotations

import time
from html import escape

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Token, _TokenType
from pygments.util import ClassNotFound

# Only languages whose lexers are plain; a fence may name any of Pygments' 500, some of which crawl on hostile text.
_LANGUAGES = frozenset({
    "bash", "c", "c++", "cpp", "cs", "csharp", "css", "diff", "go", "haskell", "html", "java", "javascript", "js",
    "json", "julia", "kotlin", "latex", "lua", "makefile", "matlab", "ocaml", "perl", "php", "powershell", "py",
    "python", "python3", "pycon", "r", "rb", "ruby", "rs", "rust", "scala", "sh", "shell", "sql", "swift", "tex",
    "toml", "ts", "tsx", "jsx", "typescript", "xml", "yaml", "yml",
})  # fmt: skip
# A single step of a lexer may take the square of this, and no deadline interrupts it.
_LONGEST_COLOURED = 6_000
_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c-comment"),
    (Keyword, "c-keyword"),
    (Literal.String, "c-string"),
    (Literal.Number, "c-number"),
    (Name.Function, "c-name"),
    (Name.Class, "c-name"),
    (Name.Tag, "c-keyword"),
    (Name.Attribute, "c-name"),
    (Name.Builtin, "c-builtin"),
    (Token.Generic.Inserted, "c-inserted"),
    (Token.Generic.Deleted, "c-deleted"),
)


def _class_of(token_type: _TokenType) -> str | None:
    return next((name for kind, name in _CLASSES if token_type in kind), None)


def colour_code(code: str, language: str, *, deadline: float) -> str:
    """Escaped HTML of `code`; coloured when the language is known, it is short, and `deadline` is not over."""
    if language.lower() not in _LANGUAGES or len(code) > _LONGEST_COLOURED or time.monotonic() > deadline:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    parts = []
    for token_type, text in lexer.get_tokens(code):
        if time.monotonic() > deadline:
            return escape(code)
        name = _class_of(token_type)
        parts.append(f'<span class="{name}">{escape(text)}</span>' if name else escape(text))
    return "".join(parts)
