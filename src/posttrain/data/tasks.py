"""Built-in tasks: endless problems with a verifier, and a held-out quarter that training never sees.

Whether a problem is held out depends on its content alone (a hash of it), not on the seed, the index or the
parameters: no run can train on what another one evaluates. Problems that give each other away (a + b, b + a)
share a side.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, overload

from posttrain.data.held_out import content_number
from posttrain.data.problem_kinds import Content, Countdown, ProblemKind, Products, Sorting, Sums
from posttrain.errors import ConfigError
from posttrain.types import Prompt

Split = Literal["train", "held_out"]

TASKS: Final[Mapping[str, type[ProblemKind]]] = {
    "sums": Sums,
    "products": Products,
    "countdown": Countdown,
    "sorting": Sorting,
}
"""The built-in tasks by name; `reasoning_gym:NAME` names one of that package's."""

REASONING_GYM: Final = "reasoning_gym:"
HELD_OUT_ONE_IN: Final = 4
DEFAULT_COUNT: Final[Mapping[Split, int]] = {"train": 10_000, "held_out": 1_000}
_MAX_DRAWS = 10_000
# Chosen by counting, before any training: with twins apart, exactly 25 of the 100 one-digit sums and of the products
# are held out, no sum together with its twin, and of no answer more than half. With twins together it is 23 and 25.
_SALT: Final = "posttrain split 11950"


class Task(Protocol):
    """A source of problems; frozen, so one object stands for one choice of parameters."""

    @property
    def name(self) -> str:
        """What the task is called in a config."""
        ...

    @property
    def verifier(self) -> str:
        """The built-in reward that judges its answers, with `verifier_options`."""
        ...

    @property
    def verifier_options(self) -> Mapping[str, Any]:
        """Options of that reward."""
        ...

    def size(self, split: Split) -> int | None:
        """How many different problems the split has; None where they are drawn without end."""
        ...

    def problem(self, index: int, split: Split, seed: int = 0) -> Prompt:
        """The problem of that number: the same for the same arguments, on every machine."""
        ...

    def fingerprint(self) -> str:
        """A digest of the name and all parameters."""
        ...


@dataclass(frozen=True)
class BuiltInTask:
    """A task of this module: a problem kind, split in two."""

    kind: ProblemKind

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name

    @property
    def verifier(self) -> str:
        """The kind's verifier."""
        return self.kind.verifier

    @property
    def verifier_options(self) -> Mapping[str, Any]:
        """The verifier's options."""
        return self.kind.verifier_options

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return dataclasses.asdict(self.kind)

    def size(self, split: Split) -> int | None:
        """How many different problems the split has; None where they are drawn."""
        listed = _listed(self.kind, split)
        return None if listed is None else len(listed)

    def problem(self, index: int, split: Split, seed: int = 0) -> Prompt:
        """Problem `index` of the split: from the list where there is one (the seed then plays no part), else drawn."""
        check_split(split)
        if index < 0:
            raise IndexError(f"problems are counted from 0, not {index}")
        listed = _listed(self.kind, split)
        content = _drawn(self.kind, split, seed, index) if listed is None else listed[index % len(listed)]
        worded = self.kind.word(content)
        return Prompt(f"{self.name}/{split}/{index}", worded.question, {**worded.columns, "task": self.name})

    def fingerprint(self) -> str:
        """A digest of the name and all parameters."""
        return digest(self.name, json.dumps(self.parameters, sort_keys=True))


class Problems(Sequence[Prompt]):
    """The first `count` problems of a split, made when asked for; `count=None`: all of them, or 10,000 (1,000)."""

    def __init__(self, task: Task, split: Split, *, seed: int = 0, count: int | None = None) -> None:
        check_split(split)
        if count is not None and count < 1:
            raise ConfigError(
                f"the task {task.name!r}: the number of problems must be at least 1, not {count}"
            )
        size = task.size(split)
        self.task, self.split, self.seed = task, split, seed
        self._order: list[int] | None = None
        if size is None:
            self._count = DEFAULT_COUNT[split] if count is None else count
            return
        if size == 0:
            raise ConfigError(
                f"the task {task.name!r} has no {split} problems with these parameters; enlarge them"
            )
        self._count = size if count is None else min(count, size)
        if self._count < size:
            # A part of a list is drawn from all of it: its beginning would be the problems that start with 0.
            self._order = random.Random(f"{seed}/{split}").sample(range(size), self._count)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides which problems these are."""
        return digest(self.task.fingerprint(), self.split, str(self.seed), str(self._count))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prompt]: ...
    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"problem {index} of {self._count}")
        index %= self._count
        return self.task.problem(index if self._order is None else self._order[index], self.split, self.seed)


def make_task(name: str, parameters: Mapping[str, Any] | None = None) -> Task:
    """The task of that name with these parameters, the others at their defaults.

    ConfigError for an unknown name or parameter (with the nearest one) and for values that cannot work.
    """
    parameters = dict(parameters or {})
    if name.startswith(REASONING_GYM):
        from posttrain.data.reasoning_gym_tasks import reasoning_gym_task

        return reasoning_gym_task(name.removeprefix(REASONING_GYM), parameters)
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TASKS)}, {REASONING_GYM}NAME"
        raise ConfigError(f"there is no task {name!r}; {hint}")
    kind = TASKS[name]
    known = [field.name for field in dataclasses.fields(kind)]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"the task {name!r} has no parameter {parameter!r}; {hint}")
    return BuiltInTask(kind(**parameters))


def is_held_out(name: str, identity: str) -> bool:
    """True for about one problem in four, by a hash of its content; the same on every machine and in every run."""
    return content_number(f"{_SALT}|{name}|{identity}") % HELD_OUT_ONE_IN == 0


def check_split(split: str) -> None:
    """ConfigError unless the split is one of the two."""
    if split not in DEFAULT_COUNT:
        raise ConfigError(f"a split is 'train' or 'held_out', not {split!r}")


def digest(*parts: str) -> str:
    """16 hexadecimal digits that differ when any part does."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def _side(kind: ProblemKind, content: Content) -> Split:
    identity = ",".join(map(str, kind.identity(content)))
    return "held_out" if is_held_out(kind.name, identity) else "train"


_LISTS: dict[tuple[ProblemKind, Split], list[Content]] = {}


def _listed(kind: ProblemKind, split: Split) -> list[Content] | None:
    """The split's problems in order, where the kind can list them; kept, since every problem asks."""
    key = (kind, split)
    if key not in _LISTS:
        contents = kind.all_contents()
        if contents is None:
            return None
        _LISTS[key] = [content for content in contents if _side(kind, content) == split]
    return _LISTS[key]


def _drawn(kind: ProblemKind, split: Split, seed: int, index: int) -> Content:
    """Drawn again until it falls on the right side; its own random numbers, so any problem can be made alone."""
    rng = random.Random(f"{kind!r}/{seed}/{split}/{index}")
    for _ in range(_MAX_DRAWS):
        content = kind.draw(rng)
        if _side(kind, content) == split:
            return content
    raise ConfigError(f"the task {kind.name!r} finds no {split} problem with {kind}; enlarge its parameters")
