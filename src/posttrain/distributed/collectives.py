"""How ranks add up: one process, or a group of them under torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from posttrain.training.collectives import Collectives


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


__all__ = ["Collectives", "SingleProcess"]
