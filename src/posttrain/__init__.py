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
    from posttrain.config.pipeline import PipelineConfig
    from posttrain.config.ppo import PPOConfig
    from posttrain.config.pretrain import PretrainConfig
    from posttrain.config.rank import RankByRuleConfig
    from posttrain.config.reject_sample import RejectSampleConfig
    from posttrain.config.reward_model import RewardModelConfig
    from posttrain.config.sample import SampleConfig
    from posttrain.config.sft import SFTConfig
    from posttrain.errors import PosttrainError
    from posttrain.pipelines.run import PipelineResult, pipeline
    from posttrain.preferences.preference_store import PreferenceStore
    from posttrain.recipes.grpo import GRPOResult, grpo
    from posttrain.recipes.ppo import PPOResult, ppo
    from posttrain.recipes.pretrain import pretrain
    from posttrain.recipes.rank_by_rule import RankByRuleResult, rank_by_rule
    from posttrain.recipes.reject_sample import RejectSampleResult, reject_sample
    from posttrain.recipes.reward_model import reward_model
    from posttrain.recipes.sample import SampleResult, sample
    from posttrain.recipes.sft import sft
    from posttrain.recipes.supervised import SupervisedResult
    from posttrain.types import Prompt, Rollout, Sampling, Score, ScoredRollout

__version__ = "0.1.0"

__all__ = [
    "GRPOConfig",
    "GRPOResult",
    "PPOConfig",
    "PPOResult",
    "PipelineConfig",
    "PipelineResult",
    "PosttrainError",
    "PreferenceStore",
    "PretrainConfig",
    "Prompt",
    "RankByRuleConfig",
    "RankByRuleResult",
    "RejectSampleConfig",
    "RejectSampleResult",
    "RewardModelConfig",
    "Rollout",
    "SFTConfig",
    "SampleConfig",
    "SampleResult",
    "Sampling",
    "Score",
    "ScoredRollout",
    "SupervisedResult",
    "__version__",
    "grpo",
    "load_config",
    "pipeline",
    "ppo",
    "pretrain",
    "rank_by_rule",
    "reject_sample",
    "reward_model",
    "sample",
    "sft",
]

_HOMES = {
    "GRPOConfig": "posttrain.config.grpo",
    "GRPOResult": "posttrain.recipes.grpo",
    "PPOConfig": "posttrain.config.ppo",
    "PPOResult": "posttrain.recipes.ppo",
    "PipelineConfig": "posttrain.config.pipeline",
    "PipelineResult": "posttrain.pipelines.run",
    "PosttrainError": "posttrain.errors",
    "PreferenceStore": "posttrain.preferences.preference_store",
    "PretrainConfig": "posttrain.config.pretrain",
    "Prompt": "posttrain.types",
    "RankByRuleConfig": "posttrain.config.rank",
    "RankByRuleResult": "posttrain.recipes.rank_by_rule",
    "RejectSampleConfig": "posttrain.config.reject_sample",
    "RejectSampleResult": "posttrain.recipes.reject_sample",
    "RewardModelConfig": "posttrain.config.reward_model",
    "Rollout": "posttrain.types",
    "SFTConfig": "posttrain.config.sft",
    "SampleConfig": "posttrain.config.sample",
    "SampleResult": "posttrain.recipes.sample",
    "Sampling": "posttrain.types",
    "Score": "posttrain.types",
    "ScoredRollout": "posttrain.types",
    "SupervisedResult": "posttrain.recipes.supervised",
    "grpo": "posttrain.recipes.grpo",
    "load_config": "posttrain.config.loading",
    "pipeline": "posttrain.pipelines.run",
    "ppo": "posttrain.recipes.ppo",
    "pretrain": "posttrain.recipes.pretrain",
    "rank_by_rule": "posttrain.recipes.rank_by_rule",
    "reject_sample": "posttrain.recipes.reject_sample",
    "reward_model": "posttrain.recipes.reward_model",
    "sample": "posttrain.recipes.sample",
    "sft": "posttrain.recipes.sft",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'posttrain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
