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
    from posttrain.config.rank import RankByRuleConfig
    from posttrain.config.sample import SampleConfig
    from posttrain.errors import PosttrainError
    from posttrain.recipes.grpo import GRPOResult, grpo
    from posttrain.recipes.rank_by_rule import RankByRuleResult, rank_by_rule
    from posttrain.recipes.sample import SampleResult, sample
    from posttrain.types import Prompt, Rollout, Sampling, Score, ScoredRollout

__version__ = "0.1.0"

__all__ = [
    "GRPOConfig",
    "GRPOResult",
    "PosttrainError",
    "Prompt",
    "RankByRuleConfig",
    "RankByRuleResult",
    "Rollout",
    "SampleConfig",
    "SampleResult",
    "Sampling",
    "Score",
    "ScoredRollout",
    "__version__",
    "grpo",
    "load_config",
    "rank_by_rule",
    "sample",
]

_HOMES = {
    "GRPOConfig": "posttrain.config.grpo",
    "GRPOResult": "posttrain.recipes.grpo",
    "PosttrainError": "posttrain.errors",
    "Prompt": "posttrain.types",
    "RankByRuleConfig": "posttrain.config.rank",
    "RankByRuleResult": "posttrain.recipes.rank_by_rule",
    "Rollout": "posttrain.types",
    "SampleConfig": "posttrain.config.sample",
    "SampleResult": "posttrain.recipes.sample",
    "Sampling": "posttrain.types",
    "Score": "posttrain.types",
    "ScoredRollout": "posttrain.types",
    "grpo": "posttrain.recipes.grpo",
    "load_config": "posttrain.config.loading",
    "rank_by_rule": "posttrain.recipes.rank_by_rule",
    "sample": "posttrain.recipes.sample",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'posttrain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
