from __future__ import annotations

import ast
import contextlib
import random
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import posttrain.rewards
from posttrain.errors import ConfigError, DataError
from posttrain.rewards.arithmetic import evaluate
from posttrain.rewards.numbers import read_quantity
from posttrain.rewards.verifiers import contains, countdown, format_reward, regular_expression, sorting

FORMATS = [
    ("<think>a</think><answer>b</answer>", 1), ("<think>a</think>\n<answer>b</answer>\n", 1), ("  <think>a</think> <answer>b</answer>", 1),
    ("<think>a\nb</think><answer>b</answer>", 1), ("", 0), ("a", 0), ("<think>a</think>", 0), ("<answer>b</answer>", 0),
    ("<answer>b</answer><think>a</think>", 0), ("<think></think><answer>b</answer>", 0), ("<think>a</think><answer> </answer>", 0),
    ("<think>a</think><think>a</think><answer>b</answer>", 0), ("<think>a</think><answer>b</answer><answer>b</answer>", 0),
    ("<think><think>a</think><answer>b</answer>", 0), ("<think>a</think></think><answer>b</answer>", 0), ("x<think>a</think><answer>b</answer>", 0),
    ("<think>a</think>x<answer>b</answer>", 0), ("<think>a</think><answer>b</answer>x", 0), ("<think>a<answer>b</answer></think>", 0),
    ("<THINK>a</THINK><answer>b</answer>", 0), ("<think>a</think><answer>b", 0), ("<think>a<answer>b</think></answer>", 0),
    ("<think>a</think><answer>b</answer>" * 100, 0), ("<think>" * 1000 + "</answer>", 0),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "verdict"), FORMATS)
def test_format(completion: str, verdict: int) -> None:
    assert format_reward(completion, {}) == verdict


def test_format_with_a_prefilled_think() -> None:
    assert format_reward("a</think><answer>b</answer>", {}, think_prefilled=True) == 1.0
    assert format_reward("<think>a</think><answer>b</answer>", {}, think_prefilled=True) == 0.0
    assert format_reward("a</think><answer>b</answer>", {}) == 0.0


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", " ", "\n"]), max_size=12)
)
def test_format_agrees_with_a_slow_reading(pieces: list[str]) -> None:
    text = "".join(pieces)
    tags = [piece for piece in pieces if piece.startswith("<")]
    expected = tags == ["<think>", "</think>", "<answer>", "</answer>"]
    if expected:
        before, inside, between, answer, after = (part.strip() for part in _split_at(pieces))
        expected = not before and bool(inside) and not between and bool(answer) and not after
    assert format_reward(text, {}) == float(expected)


def _split_at(pieces: list[str]) -> list[str]:
    parts = [""]
    for piece in pieces:
        if piece.startswith("<"):
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def test_regular_expression() -> None:
    assert regular_expression(" 42 ", {}, pattern=r"\d+") == 1.0
    assert regular_expression("a 42", {}, pattern=r"\d+") == 0.0
    assert regular_expression("a 42", {}, pattern=r"\d+", match="anywhere") == 1.0
    with pytest.raises(ConfigError, match="malformed"):
        regular_expression("a", {}, pattern="(a")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"^(a|aa)+$", r"(.*a){20}$", r"([a-z]+)*[0-9]", r"(a|a?)+$"])
def test_backtracking_comes_back_fast(pattern: str) -> None:
    started = time.process_time()
    with contextlib.suppress(TimeoutError):
        assert regular_expression("a" * 40 + "!", {}, pattern=pattern) in (0.0, 1.0)
    assert time.process_time() - started < 0.5


def test_contains() -> None:
    assert contains("it is 21", {"answer": "1"}) == 0.0
    assert contains("it is 1.", {"answer": 1}) == 1.0
    assert contains("In PARIS!", {}, text="Paris") == 1.0
    assert contains("In PARIS!", {}, text="Paris", ignore_case=False) == 0.0
    assert contains("a.b", {}, text="a*b") == 0.0
    with pytest.raises(DataError, match="empty"):
        contains("a", {"answer": " "})


EXPRESSIONS = [
    ("1+2*3", 7), ("(1+2)*3", 9), ("8/4/2", 1), ("8-4-2", 2), ("1/3", Fraction(1, 3)), ("-3+10", 7), ("(-3+10)*2", 14), ("2*-3", None),
    ("5 × 6 − 4 ÷ 2", 28), ("5 \\times 6", 30), ("[1+2]*{3}", 9), ("1/0", None), ("1/(2-2)", None), ("2**3", None), ("7//2", None),
    ("", None), ("()", None), ("(1", None), ("1)", None), ("1 2", None), ("1+", None), ("+1", None), ("2(3)", None), ("(2)(3)", None),
    ("1.5", None), ("1e5", None), ("0x10", None), ("a", None), ("__import__('os')", None), ("().__class__", None), ("1;2", None),
    ("9**9**9", None), ("'a'*9", None), ("9" * 13, None), ("9" * 12, int("9" * 12)), ("(" * 200 + "7" + ")" * 200, 7),
    ("(" * 10_000 + "7" + ")" * 10_000, None), ("*".join(["999999999999"] * 30), None), ("1" * 1_000_000, None), ("--1", None),
    ("1--1", None), ("1-(-1)", 2), ("factorial(9)", None), ("7!", None), ("²", None), ("٣", None), ("1 + 2\n", 3),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS)
def test_evaluate(expression: str, value: Fraction | int | None) -> None:
    result = evaluate(expression)
    assert (result.value if result else None) == value


@given(st.integers(0, 2**32))
def test_evaluate_agrees_with_a_tree(seed: int) -> None:
    rng = random.Random(seed)

    def tree(depth: int) -> tuple[str, Fraction | None]:
        if depth == 0:
            number = rng.randrange(100)
            return str(number), Fraction(number)
        (left, x), (right, y) = tree(rng.randrange(depth)), tree(rng.randrange(depth))
        operator = rng.choice("+-*/")
        text = f"({left}){operator}({right})"
        if x is None or y is None or (operator == "/" and y == 0):
            return text, None
        return text, {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else None}[operator]

    text, value = tree(4)
    result = evaluate(text)
    if len(text) <= 500:
        assert (result.value if result else None) == value


COUNTDOWN = [
    ("(3 + 5) * 7", 1), ("7*(3+5)", 1), ("(3+5)*7 = 56", 1), ("56 = (3+5)*7", 0), ("(3+5)*7 = 57", 0), ("56", 0), ("7*8", 0), ("35+21", 0),
    ("3*7+35", 0), ("7*7+7", 0), ("(3+5)*7*1", 0), ("(3+5)*7+3-3", 0), ("<answer>(3+5)*7</answer>", 1), ("\\boxed{(3+5)*7}", 1),
    ("<think>(3+5)*7</think>56", 0), ("<think>x</think><answer>7*(5+3)</answer>", 1), ("Answer: (3+5)*7", 1), ("(3+5)*7 = 56 = 56", 0),
    ("", 0), ("__import__('os')", 0), ("9**9**9", 0), ("\\boxed{(3+5)*7} \\boxed{1}", 0), ("(3+5)*7\n(3+5)*7", 0), ("0*1+56", 0),
    ("((3+5)*7)", 1), ("(3+5)*7.", 0), ("3 5 7", 0), ("(" * 10_000, 0),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "verdict"), COUNTDOWN)
def test_countdown(completion: str, verdict: int) -> None:
    assert countdown(completion, {"numbers": [3, 5, 7], "target": 56}) == verdict


def test_countdown_at_most_once() -> None:
    columns = {"numbers": [3, 5, 7], "target": 21}
    assert countdown("3*7", columns) == 0.0
    assert countdown("3*7", {**columns, "use_all": False}) == 1.0
    assert countdown("3*(7+5-5)", {**columns, "use_all": False}) == 0.0
    with pytest.raises(DataError, match="needs the column 'target'"):
        countdown("3*7", {"numbers": [3, 7]})


SORTING = [
    ("1, 2, 3", 1), ("[1, 2, 3]", 1), ("1 2 3", 1), ("1,2,3", 1), ("1\n2\n3", 1), ("1 < 2 < 3", 1), ("1, 2, 3.", 1), ("The answer is 1, 2, 3", 1),
    ("\\boxed{1, 2, 3}", 1), ("<answer>1, 2, 3</answer>", 1), ("3, 2, 1", 0), ("1, 2", 0), ("1, 2, 3, 3", 0), ("1, 2, 2, 3", 0),
    ("sorted: 1, 2, 3", 0), ("1, 2, 3, 4", 0), ("", 0), ("sorted([3,1,2])", 0), ("1,2,3" * 100_000, 0), ("1.0, 2, 3", 0), ("1, 2, 3 or 3, 2, 1", 0),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "verdict"), SORTING)
def test_sorting(completion: str, verdict: int) -> None:
    assert sorting(completion, {"numbers": [3, 1, 2]}) == verdict


def test_sorting_descending_and_negative() -> None:
    assert sorting("3, -1, -2", {"numbers": [-1, 3, -2], "descending": True}) == 1.0
    assert sorting("3, 1, 2", {"numbers": [-1, 3, -2], "descending": True}) == 0.0


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=999))
def test_every_written_form_of_a_number_reads_back(value: Fraction) -> None:
    forms = [f"{value.numerator}/{value.denominator}", f"\\dfrac{{{value.numerator}}}{{{value.denominator}}}"]
    if value.denominator == 1:
        whole = int(value)
        forms += [str(whole), f"{whole:,}", f"{whole}.", f"${whole}$", f"{whole}.00", f"{whole} apples"]
    for form in forms:
        quantity = read_quantity(form, words=True)
        assert quantity is not None, form
        assert quantity.value == value, form


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for quantity in (read_quantity(text, words=True), read_quantity(text)):
        assert quantity is None or isinstance(quantity.value, Fraction)
    result = evaluate(text)
    assert result is None or isinstance(result.value, Fraction)


def test_no_verifier_runs_text_as_code() -> None:
    for path in Path(posttrain.rewards.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in ("eval", "exec", "compile", "__import__"), path
