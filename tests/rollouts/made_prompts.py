"""Prompts, samplings and comparisons for the tests of engines."""

from __future__ import annotations

import torch
from tests.tiny_models import IM_END

from posttrain.batches import TokenBatch
from posttrain.types import Prompt, Rollout, Sampling

LENGTHS = (3, 9, 1, 17, 9)

ROUNDING = 2e-5
"""Between two float32 logprobs: each is up to 5e-6 off in these peaked models, a wrong position or mask is off
by more than 0.01."""


def prompts(lengths=LENGTHS, seed=0) -> list[Prompt]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Prompt(f"p{i}", "", token_ids=tuple(torch.randint(5, 260, (n,), generator=generator).tolist()))
        for i, n in enumerate(lengths)
    ]


def sampling(**changes) -> Sampling:
    neutral = {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "max_new_tokens": 12,
        "stop": (),
        "eos_token_ids": (IM_END,),
        "seed": 0,
        "step": 0,
    }
    return Sampling(**neutral | changes)


def ids(rollouts: list[Rollout]) -> list[tuple[int, ...]]:
    return [rollout.response_ids for rollout in rollouts]


def logprob_gap(language_model, rollouts: list[Rollout], temperature: float = 1.0) -> float:
    """The largest difference between what the engine says and what the learner says."""
    batch = TokenBatch.from_rollouts(rollouts)
    learner = language_model.logprobs(batch, temperature)
    engine = torch.zeros_like(learner)
    for row, rollout in enumerate(rollouts):
        engine[row, : len(rollout.rollout_logprobs)] = torch.tensor(rollout.rollout_logprobs)
    return float((learner - engine).abs().max())
