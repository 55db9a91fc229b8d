"""The built-in problem kinds: how each one's problems are drawn, worded and told apart."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from posttrain.errors import ConfigError

MAX_ENUMERATED = 20_000

Content = tuple[int, ...]
"""What identifies a problem; the meaning of the numbers is the kind's own."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A problem as it is asked, and the columns that its verifier needs."""

    question: str
    columns: Mapping[str, Any]


def whole_number(kind: str, name: str, value: object, low: int, high: int) -> None:
    """ConfigError unless the parameter is a whole number between the bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"the task {kind!r}: {name} is a whole number from {low} to {high}, not {value!r}")


@dataclass(frozen=True, slots=True)
class _TwoOperands:
    """Two operands of `digits` digits each; one digit means 0 to 9, two mean 10 to 99.

    `twins_together`: a + b and b + a are both trained on or both held out, the stricter test.
    """

    digits: int = 1
    twins_together: bool = True

    name: ClassVar[str]
    verifier: ClassVar[str] = "exact_answer"
    verifier_options: ClassVar[Mapping[str, Any]] = {"mode": "last_number"}

    def __post_init__(self) -> None:
        whole_number(self.name, "digits", self.digits, 1, 100)
        if not isinstance(self.twins_together, bool):
            raise ConfigError(
                f"the task {self.name!r}: twins_together is true or false, not {self.twins_together!r}"
            )

    def _range(self) -> range:
        return range(0 if self.digits == 1 else 10 ** (self.digits - 1), 10**self.digits)

    def all_contents(self) -> list[Content] | None:
        """Every problem, in order; None where there are too many to list."""
        if self.digits > 2:
            return None
        return [(a, b) for a in self._range() for b in self._range()]

    def draw(self, rng: random.Random) -> Content:
        """One problem, each equally likely."""
        low, high = self._range().start, self._range().stop
        return rng.randrange(low, high), rng.randrange(low, high)

    def identity(self, content: Content) -> Content:
        """The same for a + b and b + a, where seeing one is to give the other away."""
        return tuple(sorted(content)) if self.twins_together else content


class Sums(_TwoOperands):
    """a + b."""

    __slots__ = ()
    name: ClassVar[str] = "sums"

    def word(self, content: Content) -> Worded:
        """The question and its answer."""
        a, b = content
        return Worded(f"What is {a} + {b}? Reply with only the number.", {"answer": str(a + b)})


class Products(_TwoOperands):
    """a times b."""

    __slots__ = ()
    name: ClassVar[str] = "products"

    def word(self, content: Content) -> Worded:
        """The question and its answer."""
        a, b = content
        return Worded(f"What is {a} * {b}? Reply with only the number.", {"answer": str(a * b)})


@dataclass(frozen=True, slots=True)
class Countdown:
    """Make a target from `count` numbers of 1 to `largest` with + - * /; `use_all`: each one exactly once.

    A problem is made backwards from a solution, so it has one; the target is whole, from 1 to `largest_target`,
    and is not among the numbers. Content: the numbers, then the target.
    """

    count: int = 3
    largest: int = 20
    largest_target: int = 100
    use_all: bool = True

    name: ClassVar[str] = "countdown"
    verifier: ClassVar[str] = "countdown"
    verifier_options: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        whole_number(self.name, "count", self.count, 2, 8)
        whole_number(self.name, "largest", self.largest, 4, 1000)
        whole_number(self.name, "largest_target", self.largest_target, 20, 100_000)
        if not isinstance(self.use_all, bool):
            raise ConfigError(f"the task 'countdown': use_all is true or false, not {self.use_all!r}")

    def all_contents(self) -> list[Content] | None:
        """None: problems are drawn."""
        return None

    def draw(self, rng: random.Random) -> Content:
        """One problem that has a solution."""
        while True:
            numbers = [rng.randint(1, self.largest) for _ in range(self.count)]
            values = [Fraction(number) for number in numbers]
            while len(values) > 1:
                right, left = values.pop(rng.randrange(len(values))), values.pop(rng.randrange(len(values)))
                results = [left + right, left - right, left * right]
                values.append(rng.choice(results if right == 0 else [*results, left / right]))
            target = values[0]
            if target.denominator == 1 and 1 <= target <= self.largest_target and target not in numbers:
                return (*numbers, int(target))

    def identity(self, content: Content) -> Content:
        """The same whatever order the numbers are given in."""
        *numbers, target = content
        return (*sorted(numbers), target)

    def word(self, content: Content) -> Worded:
        """The question, with the columns `numbers`, `target` and `use_all`."""
        *numbers, target = content
        times = "exactly once" if self.use_all else "at most once"
        question = (
            f"Make {target} from the numbers {', '.join(map(str, numbers))}. Use each number {times}, with +, -, *, / "
            "and parentheses. Reply with only the expression."
        )
        return Worded(question, {"numbers": list(numbers), "target": target, "use_all": self.use_all})


@dataclass(frozen=True, slots=True)
class Sorting:
    """Sort `count` numbers of 0 to `largest`, ascending or `descending`. Content: the numbers as given."""

    count: int = 4
    largest: int = 99
    descending: bool = False

    name: ClassVar[str] = "sorting"
    verifier: ClassVar[str] = "sorting"
    verifier_options: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        whole_number(self.name, "count", self.count, 2, 100)
        whole_number(self.name, "largest", self.largest, 1, 10**9)
        if not isinstance(self.descending, bool):
            raise ConfigError(f"the task 'sorting': descending is true or false, not {self.descending!r}")

    def all_contents(self) -> list[Content] | None:
        """None: problems are drawn."""
        return None

    def draw(self, rng: random.Random) -> Content:
        """One list of numbers."""
        return tuple(rng.randint(0, self.largest) for _ in range(self.count))

    def identity(self, content: Content) -> Content:
        """The same for every order of the same numbers: they have one answer."""
        return tuple(sorted(content))

    def word(self, content: Content) -> Worded:
        """The question, with the columns `numbers`, `descending` and `answer`."""
        order = "largest to smallest" if self.descending else "smallest to largest"
        question = (
            f"Sort these numbers from {order}: {', '.join(map(str, content))}. Reply with only the numbers, "
            "separated by commas."
        )
        answer = ", ".join(map(str, sorted(content, reverse=self.descending)))
        return Worded(question, {"numbers": list(content), "descending": self.descending, "answer": answer})


ProblemKind = Sums | Products | Countdown | Sorting
