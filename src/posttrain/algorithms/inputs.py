"""What every equation asks of its tensors: a floating type, a boolean mask, equal shapes."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor, name: str) -> Tensor:
    """`x` in float32, or float64 where it already is: statistics are never kept in half precision."""
    if not x.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor, got {x.dtype}: convert it with .float()")
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors have one shape: silent broadcasting mixes rows when B == T."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"shapes differ and would broadcast silently: {listed}; give them one shape")


def check_mask(mask: Tensor, **tensors: Tensor) -> None:
    """Raise ValueError unless `mask` is boolean and has the shape of every tensor."""
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean (True counts), got {mask.dtype}: pass mask.bool()")
    check_same_shape(mask=mask, **tensors)


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless the sampling temperature is positive and finite."""
    if not 0.0 < temperature < float("inf"):
        raise ValueError(
            f"temperature must be positive and finite, got {temperature}: "
            "greedy decoding (0) has no log-probabilities to train on; use the sampling temperature"
        )
