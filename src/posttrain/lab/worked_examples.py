"""The note's worked examples, computed by the functions that train, beside the numbers that the note prints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from posttrain.algorithms import (
    clipped_surrogate,
    entropy,
    exact_kl,
    generalized_advantages,
    importance_ratio,
    log_ratio,
    temporal_difference_advantages,
)

DELTAS = (1.2, 0.3, 0.8, -0.2, 0.5)
"""The note's TD errors of "sunny and warm today which"."""
START = 6.0
"""The note's critic at "The weather today is"."""


@dataclass(frozen=True)
class WorkedExample:
    """`note` is the number as the note prints it, rounded to `decimals`; None where it leaves the sum undone."""

    name: str
    function: str
    note: float | None
    decimals: int
    ours: float
    remark: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the note's."""
        return None if self.note is None else self.ours - self.note

    @property
    def agrees(self) -> bool:
        """Whether ours, rounded as the note rounds, is the note's number."""
        return self.difference is None or abs(self.difference) <= 0.5 * 10.0**-self.decimals + 1e-12


def worked_examples() -> list[WorkedExample]:
    """All of them, in the note's order."""
    return [*_advantages(), *_clipping(), *_weather(), *_coins()]


def _advantages() -> Iterator[WorkedExample]:
    td = _first_advantage(1, 0.0)
    yield WorkedExample("TD error, 6.0 -> 7.2", "temporal_difference_advantages", 1.2, 1, td)
    undone = "the note leaves the sum undone"
    for horizon, note, remark in ((1, 1.2, ""), (3, None, undone), (5, None, undone)):
        found = _first_advantage(horizon, 0.9)
        yield WorkedExample(f"K = {horizon}, lambda 0.9", "generalized_advantages", note, 1, found, remark)
    for gae_lambda, number, decimals in ((0.0, 1.2, 1), (0.5, 1.525, 3), (0.9, 1.972, 3), (1.0, 2.1, 1)):
        found = _first_advantage(4, gae_lambda)
        yield WorkedExample(f"K = 4, lambda {gae_lambda}", "generalized_advantages", number, decimals, found)


def _first_advantage(horizon: int, gae_lambda: float) -> float:
    """Of "sunny": the critic starts at 6.0 and each word adds its delta; the text then goes on, unscored."""
    deltas = torch.tensor([DELTAS], dtype=torch.float64)
    after = START + deltas.cumsum(-1)
    values = torch.cat([torch.full_like(after[:, :1], START), after[:, :-1]], dim=-1)
    rewards, mask = torch.zeros_like(values), torch.ones_like(values, dtype=torch.bool)
    if gae_lambda == 0.0 and horizon == 1:
        found = temporal_difference_advantages(rewards, values, mask, bootstrap_values=after[:, -1])
    else:
        found = generalized_advantages(
            rewards, values, mask, gae_lambda=gae_lambda, horizon=horizon, bootstrap_values=after[:, -1]
        )
    return found[0, 0].item()


def _clipping() -> Iterator[WorkedExample]:
    before, after = (torch.tensor([[p]], dtype=torch.float64).log() for p in (0.1, 0.3))
    raw = log_ratio(after, before, torch.ones(1, 1, dtype=torch.bool), level="token")
    yield WorkedExample("ratio, 0.1 -> 0.3", "importance_ratio", 3.0, 0, importance_ratio(raw).item())
    loss = clipped_surrogate(raw, torch.ones(1, 1, dtype=torch.float64), clip_low=0.2, clip_high=0.2)
    remark = "A = 1; to be maximised, so minus our loss"
    yield WorkedExample("clipped objective / A", "clipped_surrogate", 1.2, 1, -loss.item(), remark)


def _weather() -> Iterator[WorkedExample]:
    a, b = (torch.tensor(p, dtype=torch.float64) for p in ((0.7, 0.2, 0.1), (0.6, 0.3, 0.1)))
    terms = (b * (b.log() - a.log())).tolist()
    for name, note, decimals, ours in zip(
        ("sunny", "rainy", "cloudy"), (-0.092, 0.122, 0.0), (3, 3, 0), terms, strict=True
    ):
        yield WorkedExample(f"KL(B, A), term {name}", "exact_kl", note, decimals, ours)
    total = exact_kl(a.log(), b.log(), direction="forward").item()
    assert math.isclose(total, math.fsum(terms), abs_tol=1e-12)
    remark = "the note added its rounded terms; it should say 0.029"
    yield WorkedExample("KL(B, A), total", "exact_kl", 0.030, 3, total, remark)


def _coins() -> Iterator[WorkedExample]:
    for name, heads, note in (("fair coin", 0.5, 0.69), ("rigged coin", 0.99, 0.06)):
        logits = torch.tensor([heads, 1.0 - heads], dtype=torch.float64).log()
        yield WorkedExample(f"entropy, {name}", "entropy", note, 2, entropy(logits).item())
