"""Take a language model from pre-training to human feedback and reinforcement learning.

    from posttrain import GRPOConfig, grpo

    result = grpo(GRPOConfig(data={"task": "sums"}), reward=my_reward)

Importing this module loads neither torch nor any model; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posttrain.config.grpo import GRPOConfig
    from posttrain.config.loading import load_config
    from posttrain.errors import PosttrainError
    from posttrain.recipes.grpo import GRPOResult, grpo
    from posttrain.types import Prompt, Rollout, Sampling, Score, ScoredRollout

__version__ = "0.1.0"

__all__ = [
    "GRPOConfig",
    "GRPOResult",
    "PosttrainError",
    "Prompt",
    "Rollout",
    "Sampling",
    "Score",
    "ScoredRollout",
    "__version__",
    "grpo",
    "load_config",
]

_HOMES = {
    "GRPOConfig": "posttrain.config.grpo",
    "GRPOResult": "posttrain.recipes.grpo",
    "PosttrainError": "posttrain.errors",
    "Prompt": "posttrain.types",
    "Rollout": "posttrain.types",
    "Sampling": "posttrain.types",
    "Score": "posttrain.types",
    "ScoredRollout": "posttrain.types",
    "grpo": "posttrain.recipes.grpo",
    "load_config": "posttrain.config.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'posttrain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
