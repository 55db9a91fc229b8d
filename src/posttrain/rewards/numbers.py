"""Numbers as models and datasets write them, read exactly.

`read_quantity` gives a `Quantity` (an exact fraction and a unit) or None; nothing is ever evaluated, input is
bounded before it is parsed, and every pattern runs in time linear in the (short) text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_ANSWER_CHARS = 2000
"""A longer text is no answer: it is refused before any pattern looks at it."""
MAX_DIGITS = 1000
_MAX_EXPONENT = 400
_MAX_UNWRAPPED_LAYERS = 5

_MINUS_SIGNS = "−–—﹣‒―"
_CHARACTERS = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width forms of ASCII
    | dict.fromkeys(_MINUS_SIGNS, "-")
    | {"⁄": "/", "∕": "/", "×": "*", "·": "*", "°": " degrees ", "¢": " cents "}
    | {"\u2009": "\u202f", "\u00a0": "\u202f", "\u3000": " "}
    | {"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅖": " 2/5"}
    | {"⅗": " 3/5", "⅘": " 4/5", "⅙": " 1/6", "⅚": " 5/6", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8"}
)

_LATEX = [
    (re.compile(r"\\(?:left|right|displaystyle|!|;|:)(?![A-Za-z])"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<=[0-9])(?:\\,|\u202f)(?=[0-9]{3}(?![0-9]))"), ","),
    (re.compile(r"\\[, ]|\u202f"), " "),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree"), " degrees "),
    (
        re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mathit|operatorname|mbox|rm)\s*\{([^{}]*)\}"),
        r" \1 ",
    ),
    (re.compile(r"\\[dtc]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\[dtc]?frac\s*([0-9])\s*([0-9])"), r" \1/\2 "),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "*"),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\*\*|`"), ""),
    (re.compile(r"\$\$?([^$\n]*)\$\$?(?![0-9])"), r" \1 "),
]

_INTEGER = r"(?>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?>{_INTEGER}(?:\.[0-9]+)?|\.[0-9]+)"
_POWER = r"(?>[eE][+-]?[0-9]{1,4}|\s*[*x]\s*10\s*\^\s*[{(]?\s*[+-]?[0-9]{1,4}\s*[})]?)"
_NUMBER = re.compile(
    rf"""
    (?<![\w.,/^*)\]}}]) (?<![\w)]\s[*/^])              # not inside a word, a version, a list or a product
    (?P<sign>[-+]\s*)? (?P<currency>[$€£¥₹]\s*)? (?P<late_sign>[-+]\s*)?
    (?: (?P<whole>[0-9]{{1,12}})\s+(?=[0-9]{{1,12}}\s*/) )?
    (?P<top>{_DECIMAL})
    (?: \s*/\s*(?P<bottom>-?{_DECIMAL}) | (?P<power>{_POWER}) )?
    (?![0-9^_(\[{{]|[.,][0-9]|\s*[*/^]\s*[0-9(]|[+-][0-9(])  # not the beginning of something longer
    """,
    re.VERBOSE,
)

_UNITS: dict[str, str] = {
    alias: names.split()[0]
    for names in (
        "percent % per_cent pct",
        "dollar $ dollars usd bucks",
        "cent cents",
        "euro € euros eur",
        "pound-sterling £ gbp",
        "yen ¥ jpy",
        "rupee ₹ rupees inr",
        "millimetre mm millimetres millimeter millimeters",
        "centimetre cm centimetres centimeter centimeters",
        "metre m metres meter meters",
        "kilometre km kilometres kilometer kilometers kms",
        "inch inches",
        "foot feet ft",
        "yard yards yd",
        "mile miles mi",
        "milligram mg milligrams",
        "gram g grams",
        "kilogram kg kilograms kgs kilos",
        "pound pounds lb lbs",
        "ounce ounces oz",
        "second s sec secs seconds",
        "millisecond ms milliseconds",
        "minute min mins minutes",
        "hour h hr hrs hours",
        "day days",
        "week weeks",
        "month months",
        "year years yr yrs",
        "millilitre ml millilitres milliliter milliliters",
        "litre l litres liter liters",
        "degree degrees deg",
        "mph",
        "km/h kmh kph",
        "ordinal st nd rd th",
    )
    for alias in names.split()
}
_MAGNITUDES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_HEDGES = re.compile(
    r"\b(?:or|not|nor|neither|either|between|unless|except|maybe|cannot)\b|n['’]t\b", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z€£¥₹%$][A-Za-z/]*")
_FOREIGN = re.compile(r"[0-9\\^_*{}|<>=√π∞~+]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number and its unit ("" where none, or one that is not known)."""

    value: Fraction
    unit: str = ""


def plain(text: str) -> str:
    """The text without LaTeX wrappers, Markdown emphasis, exotic signs and closing punctuation.

    Example: plain("$\\dfrac{1}{2}$.") == "1/2".
    """
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = text.strip()
    for _ in range(_MAX_UNWRAPPED_LAYERS):
        before = text
        text = text.strip("*_ \t\r\n\"'“”").rstrip(".;,:!").strip()
        if text[:1] + text[-1:] in ("()", "[]", "{}") and not re.search(r"[()\[\]{},]", text[1:-1]):
            text = text[1:-1]
        if text == before:
            break
    return text


def read_quantity(text: str, *, words: bool = False) -> Quantity | None:
    """The one number that the text states; None when it states none, several, or an expression.

    With `words=False` the text must be the number itself, at most with a unit that is known ("7", "$1,000.50",
    "-1/2", "50%", "3 cm"). With `words=True` other words may stand around it ("She has 7 apples"), unless they
    hedge ("7 or 8", "not 7"), leave digits over ("3 of 4"), or make it part of an expression ("7x", "2^7").
    """
    if len(text) > MAX_ANSWER_CHARS:
        return None
    text = plain(text)
    matches = list(_NUMBER.finditer(text))
    if len(matches) != 1:
        return None
    match = matches[0]
    value = _value(match)
    if value is None:
        return None
    before, after = text[: match.start()], text[match.end() :]
    if _FOREIGN.search(before) or _FOREIGN.search(after):
        return None
    if words and _HEDGES.search(f"{before} {after}"):
        return None
    unit, rest, factor = _unit_after(after)
    if unit is None or (not words and (before.strip() or rest.strip())):
        return None
    if words and any(_is_variable(word) for word in _WORD.findall(f"{before} {rest}")):
        return None
    currency = (match["currency"] or "").strip()
    return Quantity(value * factor, _UNITS[currency] if currency else unit)


def same_quantity(left: Quantity, right: Quantity) -> bool:
    """True when both state the same thing: 0.50 and 1/2, $7 and 7, 50% and 0.5, 50% and 50.

    A unit counts only where both sides name one: 7 cm is not 7 m. A percent sign that one side left out is
    forgiven from 1 up (50% and 50, not 0.5% and 0.5, which are two honest readings of a fraction).
    """
    if "percent" in (left.unit, right.unit):
        if left.unit == right.unit:
            return left.value == right.value
        percent, plain_number = (left, right) if left.unit == "percent" else (right, left)
        if plain_number.unit:
            return False
        forgiven = percent.value == plain_number.value and abs(percent.value) >= 1
        return percent.value / 100 == plain_number.value or forgiven
    if left.unit and right.unit and left.unit != right.unit:
        return False
    return left.value == right.value


def _value(match: re.Match[str]) -> Fraction | None:
    """The exact value of one match, or None where it is too long, divides by zero or has two signs."""
    if match["sign"] and match["late_sign"]:
        return None
    if sum(character.isdigit() for character in match[0]) > MAX_DIGITS:
        return None
    top = Fraction(match["top"].replace(",", ""))
    if match["bottom"]:
        bottom = Fraction(match["bottom"].replace(",", ""))
        if bottom == 0:
            return None
        top /= bottom
    if match["power"]:
        exponent = int(re.findall(r"[+-]?[0-9]+", match["power"])[-1])
        if abs(exponent) > _MAX_EXPONENT:
            return None
        top *= Fraction(10) ** exponent
    if match["whole"]:
        top += int(match["whole"])
    sign = (match["sign"] or match["late_sign"] or "+").strip()
    return -top if sign == "-" else top


def _unit_after(text: str) -> tuple[str | None, str, int]:
    """(unit, what follows it, factor) for the text behind a number; unit None where letters make it no number."""
    factor = 1
    word = _WORD.match(text.lstrip())
    if word and word[0].lower() in _MAGNITUDES and text[:1].isspace():
        factor = _MAGNITUDES[word[0].lower()]
        text = text.lstrip()[word.end() :]
        word = _WORD.match(text.lstrip())
    if not word:
        return "", text, factor
    unit = _UNITS.get(word[0]) or _UNITS.get(word[0].lower())
    glued = not text[:1].isspace()
    if unit is None:
        # "7x" is an expression; "7 apples" is seven.
        return (None if glued else ""), text, factor
    rest = text.lstrip()[word.end() :]
    return ("" if unit == "ordinal" else unit), rest, factor


def _is_variable(word: str) -> bool:
    return len(word) == 1 and word.isalpha() and word not in ("a", "A", "I") and word not in _UNITS
