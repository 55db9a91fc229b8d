"""From one device to another, field by field."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import torch

Batch = TypeVar("Batch")


def moved(batch: Batch, device: torch.device | str) -> Batch:
    """The dataclass with every tensor, and every batch in it, on the device; what is None stays None."""
    names = [field.name for field in dataclasses.fields(batch)]  # type: ignore[arg-type]
    fields: dict[str, Any] = {name: getattr(batch, name) for name in names}
    return type(batch)(**{name: None if x is None else x.to(device) for name, x in fields.items()})
