"""A step's numbers about its responses and their rewards, the same for every algorithm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from posttrain.types import ScoredRollout

NAN = float("nan")


def raw_scores(scored: Sequence[ScoredRollout]) -> Tensor:
    """`[rows]` in float64, NaN where a rollout could not be scored."""
    values = [NAN if item.score.value is None else item.score.value for item in scored]
    return torch.tensor(values, dtype=torch.float64)


def is_cut(scored: Sequence[ScoredRollout]) -> Tensor:
    """`[rows]`, True for responses that were cut by length."""
    return torch.tensor([not item.rollout.is_complete for item in scored], dtype=torch.bool)


def response_metrics(scored: Sequence[ScoredRollout], is_trained: Tensor) -> dict[str, float]:
    """Under the names of `runs.metric_names`; NaN where there is no response.

    The reward is the one that was scored, before any penalty for length; parts are unweighted.
    """
    raw = raw_scores(scored)
    valid = raw[~raw.isnan()]
    lengths = torch.tensor([len(item.rollout.response_ids) for item in scored], dtype=torch.float64)
    metrics = {
        "reward_mean": float(valid.mean()) if len(valid) else NAN,
        "reward_std": float(valid.std()) if len(valid) > 1 else 0.0,
        "unscored_share": float(raw.isnan().double().mean()) if len(raw) else NAN,
        "trained_share": float(is_trained.double().mean()) if len(raw) else NAN,
        "response_length_mean": float(lengths.mean()) if len(raw) else NAN,
        "response_length_max": float(lengths.max()) if len(raw) else NAN,
        "cut_share": float(is_cut(scored).double().mean()) if len(raw) else NAN,
        "num_response_tokens": float(lengths.sum()),
    }
    return metrics | _part_means(scored)


def _part_means(scored: Sequence[ScoredRollout]) -> dict[str, float]:
    """Mean of every named part over the rollouts where it has a value, as `reward/NAME`."""
    found: dict[str, list[float]] = {}
    for item in scored:
        for name, value in item.score.parts.items():
            if value is not None:
                found.setdefault(f"reward/{name}", []).append(value)
    return {name: sum(values) / len(values) for name, values in sorted(found.items())}
