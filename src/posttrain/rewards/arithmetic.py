"""Small arithmetic expressions, evaluated exactly without ever running them as code.

A tokeniser and a shunting-yard parser: no recursion, so nesting costs no stack; every size is limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_CHARS = 500
MAX_INTEGER_DIGITS = 12
MAX_MAGNITUDE = 10**30

_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+)|(?P<symbol>[-+*/()]))")
_CHARACTERS = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")", "{": "(", "}": ")"}
)
_LATEX = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": ""}
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "negative": 3}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The exact value of an expression and the numbers that it uses, in order of appearance."""

    value: Fraction
    numbers: tuple[int, ...]


class _Malformed(Exception):
    """Not an expression of + - * / and parentheses over small whole numbers."""


def evaluate(expression: str) -> Evaluated | None:
    """What the expression is worth, or None where it is no expression, divides by zero or grows too large.

    Known: whole numbers, + - * / (also × ÷ − and their LaTeX), parentheses, a leading minus. Nothing else:
    `2**3`, `7!`, names, decimals and calls are None.
    """
    if len(expression) > MAX_CHARS:
        return None
    for latex, symbol in _LATEX.items():
        expression = expression.replace(latex, symbol)
    try:
        tokens = _tokens(expression.translate(_CHARACTERS))
        value = _shunting_yard(tokens)
    except (_Malformed, ZeroDivisionError):
        return None
    return Evaluated(value, tuple(int(token) for token in tokens if token.isdigit()))


def _tokens(expression: str) -> list[str]:
    tokens: list[str] = []
    position, text = 0, expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(match["number"] or "") > MAX_INTEGER_DIGITS:
            raise _Malformed
        tokens.append(match["number"] or match["symbol"])
        position = match.end()
    return tokens


def _shunting_yard(tokens: list[str]) -> Fraction:
    values: list[Fraction] = []
    operators: list[str] = []
    expects_value = True
    for token in tokens:
        if expects_value:
            if token.isdigit():
                values.append(Fraction(int(token)))
                expects_value = False
            elif token == "(":
                operators.append(token)
            elif token == "-" and (not operators or operators[-1] == "("):
                operators.append("negative")
            else:
                raise _Malformed
        elif token == ")":
            while operators and operators[-1] != "(":
                _apply(operators.pop(), values)
            if not operators:
                raise _Malformed
            operators.pop()
        elif token in _PRECEDENCE:
            while operators and operators[-1] != "(" and _PRECEDENCE[operators[-1]] >= _PRECEDENCE[token]:
                _apply(operators.pop(), values)
            operators.append(token)
            expects_value = True
        else:
            raise _Malformed
    if expects_value:
        raise _Malformed
    while operators:
        if operators[-1] == "(":
            raise _Malformed
        _apply(operators.pop(), values)
    return values[0]


def _apply(operator: str, values: list[Fraction]) -> None:
    right = values.pop()
    if operator == "negative":
        values.append(-right)
        return
    left = values.pop()
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator == "*":
        result = left * right
    else:
        result = left / right
    if abs(result.numerator) > MAX_MAGNITUDE or result.denominator > MAX_MAGNITUDE:
        raise _Malformed
    values.append(result)
