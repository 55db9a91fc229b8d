"""What the learner needs from the other ranks, and the one-process form of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor

from posttrain.errors import PosttrainError

Result = TypeVar("Result")


class Collectives(Protocol):
    """How ranks add up. Every method must be called on every rank, in the same order."""

    @property
    def rank(self) -> int:
        """This process's number, 0 for the main one."""
        ...

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        ...

    @property
    def is_main(self) -> bool:
        """True on the one rank that writes files and logs."""
        ...

    def sum(self, value: float) -> float:
        """The sum of `value` over all ranks, the same bits on each."""
        ...

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The elementwise sum of equally shaped tensors over all ranks; the input is left alone."""
        ...

    def sum_gradients_(self, gradients: Sequence[Tensor]) -> None:
        """Replace each gradient by its sum over all ranks, in place."""
        ...

    def any(self, flag: bool) -> bool:
        """True on every rank when `flag` is true on at least one."""
        ...

    def all(self, flag: bool) -> bool:
        """True on every rank when `flag` is true on all of them."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's JSON-able value, in the order of ranks, on every rank."""
        ...


class SingleProcess:
    """The only rank there is: every sum is the value itself."""

    rank = 0
    world_size = 1
    is_main = True

    def sum(self, value: float) -> float:
        """The value."""
        return value

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """A copy, as every other implementation returns one."""
        return tensor.clone()

    def sum_gradients_(self, gradients: Sequence[Tensor]) -> None:
        """Nothing to add."""

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def all(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def gather(self, value: Any) -> list[Any]:
        """The value alone."""
        return [value]


class PeerError(PosttrainError, RuntimeError):
    """Another rank failed; the message holds what it said, with its traceback."""


def agreed(collectives: Collectives, compute: Callable[[], Result]) -> Result:
    """What `compute` returns here, once it is known that it worked on every rank.

    If it fails anywhere, every rank raises: the failing one its own error, the others a PeerError with
    that error's text. Without this the others would wait in their next collective until a timeout.
    `compute` must not itself talk to other ranks.
    """
    failure: Exception | None = None
    report: str | None = None
    result: Result | None = None
    try:
        result = compute()
    except Exception as error:
        failure = error
        report = "".join(traceback.format_exception(error))
    reports = collectives.gather(report)
    if failure is not None:
        raise failure
    for rank, text in enumerate(reports):
        if text is not None:
            raise PeerError(f"rank {rank} failed, so rank {collectives.rank} stops too. It said:\n{text}")
    return result  # type: ignore[return-value]  # None only where compute itself returns None
