"""Who trains on cut responses with a reward model is told that they earn as much as an average answer."""

from __future__ import annotations

import pytest

from posttrain.config.grpo import GRPOConfig
from posttrain.config.ppo import PPOConfig
from posttrain.recipes.policy_run import cut_responses_pay


@pytest.mark.parametrize("kind", [GRPOConfig, PPOConfig])
@pytest.mark.parametrize(
    ("overlong", "term", "said"),
    [
        ("score", {"model": "judge"}, True),
        ("zero", {"model": "judge"}, True),
        ("mask", {"model": "judge"}, False),
        ("score", {"name": "exact_answer"}, False),
    ],
)
def test_it_is_said_where_it_applies(kind, overlong, term, said):
    values = {"data": {"task": "sums"}, "algorithm": {"overlong": overlong}, "reward": {"terms": [term]}}
    config = kind.model_validate(values)
    remark = cut_responses_pay(config.algorithm.overlong, config.reward)
    assert (remark is not None) == said
    assert remark is None or 'overlong = "mask"' in remark
