"""The state of every global random number generator, as tensors and JSON, never as a pickle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of Python's, numpy's and PyTorch's global generators (CPU and every CUDA device)."""
    version, words, gauss = random.getstate()
    legacy: Any = np.random.get_state(legacy=False)
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
        "torch_cpu": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"torch_cuda_{device}"] = state
    numbers = {
        "python": {"version": version, "gauss": gauss},
        "numpy": {
            "bit_generator": legacy["bit_generator"],
            "position": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
    }
    return tensors, numbers


def restore_random_state(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Every generator goes on where `random_state` found it; states of GPUs that are gone are left out."""
    python, legacy = numbers["python"], numbers["numpy"]
    random.setstate((python["version"], tuple(tensors["python"].tolist()), python["gauss"]))
    np.random.set_state(
        {
            "bit_generator": legacy["bit_generator"],
            "state": {"key": tensors["numpy"].numpy().astype(np.uint32), "pos": legacy["position"]},
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        }
    )
    torch.set_rng_state(tensors["torch_cpu"])
    for name, state in tensors.items():
        device = int(name.removeprefix("torch_cuda_")) if name.startswith("torch_cuda_") else -1
        if 0 <= device < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)
