"""How many parameters a run holds for each of its models: the fact behind every claim about memory."""

from __future__ import annotations

from typing import Any

from posttrain.models.reference import FrozenReference
from posttrain.models.reward_model import RewardModel
from posttrain.rewards.model_reward import ModelReward
from posttrain.rewards.weighted_sum import WeightedSum


def parameters_held(
    policy: Any, reference: FrozenReference | None, judge: WeightedSum, critic: Any = None
) -> dict[str, int]:
    """Parameters by role, tied ones once; `policy` and `critic` are modules.

    A reference that is the policy with its adapter switched off counts 0, and so does what a role does not have.
    """
    scorers = [term.reward.scorer for term in judge.terms if isinstance(term.reward, ModelReward)]
    return {
        "policy": _count(policy),
        "reference": 0 if reference is None else reference.num_parameters,
        "critic": 0 if critic is None else _count(critic),
        "reward_model": sum(s.num_parameters for s in scorers if isinstance(s, RewardModel)),
    }


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
