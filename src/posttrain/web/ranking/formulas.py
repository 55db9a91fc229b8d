"""TeX to MathML, which browsers draw themselves: no script, no font, nothing loaded."""

from __future__ import annotations

import re
from html import escape, unescape
from xml.etree.ElementTree import tostring

from latex2mathml.converter import convert_to_element

from posttrain.web.ranking.hidden_characters import has_mask, mask

# Longer than any formula that a reader follows in one line; the converter's time grows faster than the length.
_LONGEST_FORMULA = 1_500
_DEEPEST_BRACES = 12
# Commands that name addresses, styles or classes have no place in text that nobody trusts.
_REFUSED = re.compile(
    r"\\(href|url|class|style|cssId|includegraphics|html\w*|require|def|newcommand|unicode)\b"
)


def _depth(tex: str) -> int:
    deepest = level = 0
    for character in tex:
        level += (character == "{") - (character == "}")
        deepest = max(deepest, level)
    return deepest + len(re.findall(r"\\left\b|\\begin\b|\\sqrt\b|\\frac\b", tex)) // 20


def _mathml(tex: str, display: str) -> str:
    """MathML whose texts are texts: of `\\text{<img>}` nothing is read as HTML, and no entity brings in what is hidden.

    The converter's own string has `<` of the formula unescaped, and symbols as entities.
    """
    tree = convert_to_element(tex, display=display)
    for element in tree.iter():
        element.text = None if element.text is None else mask(unescape(element.text))
    return tostring(tree, encoding="unicode")


def formula_to_mathml(tex: str, *, is_block: bool) -> str:
    """MathML of `tex`, or its source in a code element when it is too long, too deep, or no TeX."""
    source = f'<code class="formula">{escape(tex)}</code>'
    if len(tex) > _LONGEST_FORMULA or has_mask(tex) or _REFUSED.search(tex) or _depth(tex) > _DEEPEST_BRACES:
        return f"<p>{source}</p>" if is_block else source
    try:
        mathml = _mathml(tex, "block" if is_block else "inline")
    except Exception:  # the converter raises whatever it meets in text that is no TeX
        return f"<p>{source}</p>" if is_block else source
    return f'<div class="formula-block">{mathml}</div>' if is_block else mathml
