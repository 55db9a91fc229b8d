"""A key-value cache that grows in strides and lets rows leave, as a transformers `Cache`."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

# transformers' own DynamicLayer copies the whole cache for every token; this one copies it once a stride.
_STRIDE = 64


class GrowingLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, `[rows, heads, capacity, width]`, of which the first `length` are filled."""

    is_sliding = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Room for the first tokens and a stride more."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = _with_room(key_states[:, :, :0], key_states.shape[2])
        self.values = _with_room(value_states[:, :, :0], value_states.shape[2])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append, and return all keys and values so far (views)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        end = self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            self.keys = _with_room(self.keys[:, :, : self.length], key_states.shape[2])
            self.values = _with_room(self.values[:, :, : self.length], value_states.shape[2])
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def take_rows(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        if self.keys is not None and self.values is not None:
            self.keys = _with_room(self.keys[:, :, : self.length], 0, rows)
            self.values = _with_room(self.values[:, :, : self.length], 0, rows)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys the next tokens see, and the position of the first."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self.length

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def get_max_cache_shape(self) -> int:
        """No limit, by its name in older versions of transformers."""
        return -1


class GrowingCache(Cache):
    """Growing layers, one for each layer of the model."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    def take_rows(self, rows: Tensor) -> None:
        """Keep these rows of every layer, in this order."""
        for layer in self.layers:
            assert isinstance(layer, GrowingLayer)
            layer.take_rows(rows)


def _with_room(filled: Tensor, coming: int, rows: Tensor | None = None) -> Tensor:
    num_rows, heads, length, width = filled.shape
    if rows is not None:
        num_rows = len(rows)
    grown = filled.new_empty(num_rows, heads, length + coming + _STRIDE, width)
    grown[:, :, :length] = filled if rows is None else filled[rows]
    return grown
