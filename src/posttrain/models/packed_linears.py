"""Linear layers with their bfloat16 weights in the order that the CPU's matrix kernels want, while text is generated.

A step of decoding multiplies few rows with all weights, and reordering these for the kernel is then a large part of the
time. Layers that read the same input (query, key and value; gate and up) become one product, found by watching.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 64
"""Rows of input that the order of the weights is chosen for."""
_MOST_BYTES = 4 << 30
"""Weights that are held twice at most."""


def packable_linears(trunk: nn.Module, forward: Callable[[], Any]) -> list[list[nn.Linear]]:
    """The plain bfloat16 layers that `forward` calls, in groups of neighbours that get the very same input.

    None where this processor does not multiply bfloat16 matrices itself, or the layers are too large to hold twice.
    """
    layers = [module for module in trunk.modules() if type(module) is nn.Linear and _fits(module.weight)]
    if not layers or sum(layer.weight.nbytes for layer in layers) > _MOST_BYTES:
        return []
    seen: list[tuple[Tensor, list[nn.Linear]]] = []

    def watch(layer: nn.Linear, given: tuple[Tensor, ...]) -> None:
        if seen and seen[-1][0] is given[0]:
            seen[-1][1].append(layer)
        else:
            seen.append((given[0], [layer]))

    hooks = [layer.register_forward_pre_hook(watch) for layer in layers]
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    called = [layer for _, group in seen for layer in group]
    # A layer that is called twice has no one input.
    return [group for _, group in seen if all(called.count(layer) == 1 for layer in group)]


def _fits(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


@contextlib.contextmanager
def packed_linears(groups: Sequence[Sequence[nn.Linear]]) -> Iterator[None]:
    """Inside, these layers compute with a packed copy of their weights of now, each group in one product.

    The copy takes as much memory as the weights, until the end of the block. Without gradients.
    """
    packed = []
    try:
        for group in groups:
            product = _Product(group)
            for number, layer in enumerate(group):
                packed.append(layer)
                # An instance's own `forward` goes before its class's.
                layer.forward = product.part(number)  # type: ignore[assignment, method-assign]
        yield
    finally:
        for layer in packed:
            del layer.forward


class _Product:
    """The outputs of all layers of a group, computed when the first of them is asked."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        weight = torch.cat([layer.weight.detach() for layer in layers])
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._sizes = [layer.out_features for layer in layers]
        biases = [layer.bias for layer in layers]
        self._bias: Tensor | None = None
        if any(bias is not None for bias in biases):
            self._bias = torch.cat(
                [
                    weight.new_zeros(size) if bias is None else bias.detach()
                    for bias, size in zip(biases, self._sizes, strict=True)
                ]
            )
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def part(self, number: int) -> Callable[[Tensor], Tensor]:
        """The `forward` of layer `number`."""

        def forward(x: Tensor) -> Tensor:
            if not self._outputs or self._input is not x:
                self._outputs = self._all(x)
                self._input = x
            out = self._outputs[number]
            if number == len(self._sizes) - 1:
                self._input, self._outputs = None, ()
            return out

        return forward

    def _all(self, x: Tensor) -> tuple[Tensor, ...]:
        out = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return torch.split(out, self._sizes, dim=-1)
