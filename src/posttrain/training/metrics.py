"""Numbers about one step that add up over micro-batches and ranks without losing their weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["mean", "sum", "min", "max"]
Value = float | Tensor


class Metrics:
    """Named sums with counts, plain sums, minima and maxima; `+` merges two of them.

    A mean is kept as (total, count) until `means()` divides, so a micro-batch or a rank with 99 tokens
    weighs 99 times as much as one with 1. Tensors are detached and stay on their device: nothing here
    waits for a GPU before `means()` does, once.

    Example:
        a = Metrics().mean("kl", total=1.0, count=1).sum("tokens", 1)
        b = Metrics().mean("kl", total=0.0, count=99).sum("tokens", 99)
        (a + b).means()  # {"kl": 0.01, "tokens": 100.0}
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Kind, Value, Value]] = {}

    def mean(self, name: str, *, total: Value, count: Value) -> Metrics:
        """These metrics with `total` over `count` further elements in the mean called `name`."""
        return self._put(name, "mean", total, count)

    def sum(self, name: str, value: Value) -> Metrics:
        """These metrics with `value` added to the sum called `name`."""
        return self._put(name, "sum", value, 1.0)

    def minimum(self, name: str, value: Value) -> Metrics:
        """These metrics with `value` taken into the minimum called `name`."""
        return self._put(name, "min", value, 1.0)

    def maximum(self, name: str, value: Value) -> Metrics:
        """These metrics with `value` taken into the maximum called `name`."""
        return self._put(name, "max", value, 1.0)

    def __add__(self, other: Metrics) -> Metrics:
        merged = Metrics()
        for source in (self, other):
            for name, (kind, total, count) in source._entries.items():
                merged._put(name, kind, total, count)
        return merged

    def means(self) -> dict[str, float]:
        """Plain numbers by name; a mean over nothing is left out, because it has no value."""
        found: dict[str, float] = {}
        for name, kind, total, count in self.to_json():
            if kind != "mean":
                found[name] = total
            elif count != 0.0:
                found[name] = total / count
        return found

    def to_json(self) -> list[tuple[str, Kind, float, float]]:
        """(name, kind, total, count) of every entry as plain numbers, in the order they came."""
        names = list(self._entries)
        values = [value for name in names for value in self._entries[name][1:]]
        numbers = _numbers(values)
        return [
            (name, self._entries[name][0], numbers[2 * i], numbers[2 * i + 1]) for i, name in enumerate(names)
        ]

    @classmethod
    def from_json(cls, parts: Iterable[Iterable[Any]]) -> Metrics:
        """The metrics that `to_json` of each rank described, merged in the order given."""
        merged = cls()
        for name, kind, total, count in parts:
            merged._put(name, kind, total, count)
        return merged

    def _put(self, name: str, kind: Kind, total: Value, count: Value) -> Metrics:
        total, count = _detached(total), _detached(count)
        if name in self._entries:
            old_kind, old_total, old_count = self._entries[name]
            if old_kind != kind:
                raise ValueError(f"metric {name!r} is a {old_kind}, so a {kind} cannot be merged into it")
            total, count = _merged(kind, old_total, total), old_count + count
        self._entries[name] = (kind, total, count)
        return self


def _detached(value: Value) -> Value:
    # float64, because a sum over a million float32 tokens would drop the last digits
    return value.detach().double() if isinstance(value, Tensor) else float(value)


def _merged(kind: Kind, old: Value, new: Value) -> Value:
    if kind in ("mean", "sum"):
        return old + new
    pick = torch.minimum if kind == "min" else torch.maximum
    device = next((v.device for v in (old, new) if isinstance(v, Tensor)), None)
    old_tensor = torch.as_tensor(old, dtype=torch.float64, device=device)
    return pick(old_tensor, torch.as_tensor(new, dtype=torch.float64, device=device))


def _numbers(values: list[Value]) -> list[float]:
    """The values as floats, waiting once for each device instead of once for each value."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    fetched = iter(torch.stack(tensors).tolist() if tensors else [])
    return [float(next(fetched)) if isinstance(value, Tensor) else value for value in values]
