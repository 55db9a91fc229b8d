"""People who rank items with a known quality, for the statistics' tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posttrain.preferences.quality.personal_ranking import PersonalRanking


def dense_ranks(scores: Sequence[float]) -> tuple[int, ...]:
    place = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    return tuple(place[score] for score in scores)


def simulated_rankings(
    rng: np.random.Generator,
    *,
    num_items: int,
    people_per_item: int = 2,
    num_people: int = 5,
    sizes: Sequence[int] = (4,),
    noise: float = 1.0,
    decimals: int = 6,
    position_pull: float = 0.0,
) -> list[PersonalRanking]:
    """Each person sees an item's quality with noise of their own; few decimals make ties."""
    found = []
    for item in range(num_items):
        size = int(rng.choice(sizes))
        quality = rng.normal(size=size)
        for person in rng.choice(num_people, people_per_item, replace=False):
            order = rng.permutation(size)
            seen = quality + noise * rng.normal(size=size)
            seen[order] -= position_pull * np.arange(size)
            ranks = dense_ranks(np.round(seen, decimals).tolist())
            found.append(PersonalRanking(item, int(person), ranks, tuple(order.tolist())))
    return found
