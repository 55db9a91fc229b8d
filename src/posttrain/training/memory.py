"""How many tokens fit into one micro-batch: measured bytes per token against the memory that is free."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

MAX_TOKENS = {"cpu": 2048}
"""By kind of device; beyond this, matrix products run no faster: on a CPU they are at full speed from about a thousand
rows, and what is kept for backward is fetched from memory again."""
MAX_TOKENS_ELSEWHERE = 8192
SAFE_SHARE = 0.5
"""Of the free memory: the rest is for temporaries, fragmentation and whoever else uses the machine."""


def microbatch_budget(
    model: nn.Module, forward: Callable[[], Tensor], *, num_tokens: int, reserved_bytes: int = 0
) -> int:
    """The largest power of two of tokens that should fit, at least 64 and at most the device's `MAX_TOKENS`.

    `forward` computes a loss over `num_tokens` tokens; what autograd saves for backward is counted.
    `reserved_bytes` are still to be allocated before the next backward ends (gradients). No gradient is left
    behind. The result depends on the free memory of this moment: save it and reuse it when resuming.
    """
    saved = saved_bytes(model, forward)
    per_token = max(1.0, saved / max(1, num_tokens))
    device = next(model.parameters()).device
    usable = SAFE_SHARE * max(0, free_bytes(device) - reserved_bytes)
    tokens = min(MAX_TOKENS.get(device.type, MAX_TOKENS_ELSEWHERE), max(64, int(usable / per_token)))
    return 1 << (tokens.bit_length() - 1)


def saved_bytes(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Bytes that one forward pass keeps for its backward pass, each storage once, parameters not counted."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return sum(storages.values())


def free_bytes(device: torch.device) -> int:
    """Memory that can still be allocated on the device, cached blocks of PyTorch's allocator included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [_meminfo_available()]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        # A container may use less than the machine has; "max" means no limit.
        with contextlib.suppress(OSError, ValueError):
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(0, min(found))


def _meminfo_available() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        # macOS does not say what is free; a third of all memory is a cautious guess
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3
    return 4 << 30


def is_out_of_memory(error: BaseException) -> bool:
    """True for PyTorch's several ways to say that an allocation failed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def free_cached_memory(device: torch.device) -> None:
    """Gives PyTorch's cached blocks back, so that smaller ones can be cut from them."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
