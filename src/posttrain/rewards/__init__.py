"""Responses become scores: verifiers, users' functions in isolated workers, and their weighted sum."""

from posttrain.rewards.build import RewardTerm, build_reward
from posttrain.rewards.in_process import LengthReward, ScriptedReward, VerifierReward
from posttrain.rewards.reward import Reward
from posttrain.rewards.scoring import ScoringResult, score
from posttrain.rewards.weighted_sum import WeightedSum, WeightedTerm
from posttrain.rewards.worker import RewardLimits

__all__ = [
    "LengthReward",
    "Reward",
    "RewardLimits",
    "RewardTerm",
    "ScoringResult",
    "ScriptedReward",
    "VerifierReward",
    "WeightedSum",
    "WeightedTerm",
    "build_reward",
    "score",
]
