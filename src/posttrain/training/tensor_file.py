"""Tensors in one safetensors file, written straight from memory and hashed on the way."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

CHUNK_BYTES = 8 << 20
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def tensor_file_chunks(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file that holds these tensors, piece by piece.

    safetensors' own writer first makes a second copy of every tensor; for optimiser states that is gigabytes.
    Here only a tensor on a GPU, or one that is not contiguous, is copied, one at a time.
    """
    # Wide types first, as safetensors does: every tensor is then aligned in the mapped file.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {}
    offset = 0
    for name in names:
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        if flat.numel() == 0:
            continue
        view = memoryview(flat.view(torch.uint8).numpy().data)
        for start in range(0, len(view), CHUNK_BYTES):
            yield view[start : start + CHUNK_BYTES]


def write_chunks(chunks: Iterator[bytes | memoryview], write: Callable[[bytes | memoryview], int]) -> None:
    """Every byte of every chunk is handed to `write`, which may take only part of one at a time."""
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(rest):
            rest = rest[write(rest) :]


def read_tensor_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    return load_file(path)
