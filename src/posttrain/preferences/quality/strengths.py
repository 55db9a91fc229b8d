"""How strong the checkpoints are that wrote the responses: Bradley-Terry strengths with intervals.

Bradley and Terry (1952): response of checkpoint a is preferred to one of b with probability sigmoid(s_a - s_b).
A tie counts as half a win for each. Rankings are taken apart into pairs of responses by different checkpoints; all
pairs of one prompt together weigh 1, so that neither prompts with many responses nor those that many people judged
count more, and prompts are the unit of the interval.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posttrain.preferences.quality.intervals import groups_of_items, jackknife_error, student_t_95
from posttrain.preferences.quality.personal_ranking import PersonalRanking, rows_of

PRIOR_TIES = 1.0
"""Each checkpoint is given so many ties with one of average strength: one that always won would be infinitely strong
otherwise. Beside 50 prompts this moves a strength by less than a tenth of its interval."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """What people said of checkpoints. `wins[g, a, b]`: how much a was preferred to b in the prompts of group g, a
    tie half to each; `num_prompts[a, b]`: prompts in which both were compared, [a, a] those in which a was at all."""

    checkpoints: tuple[str, ...]
    wins: NDArray[np.float64]
    num_prompts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strength:
    """A checkpoint's strength in log-odds, 0 the mean of all, with its 95 % interval.

    `share_preferred`: how often its response was preferred to one of another checkpoint, ties half.
    """

    checkpoint: str
    value: float
    interval: tuple[float, float]
    share_preferred: float
    num_prompts: int


def compare_checkpoints(
    rankings: Sequence[PersonalRanking], checkpoints_of: Mapping[int, Sequence[str]]
) -> Comparisons:
    """Wins by group of items, from the checkpoint of each response of each item; "" is not known and left out."""
    # Items have few kinds of checkpoints in an order, so what is asked of the names is asked of the kinds.
    kinds: dict[tuple[str, ...], int] = {}
    kind_of = {item: kinds.setdefault(tuple(names), len(kinds)) for item, names in checkpoints_of.items()}
    pairs_in = np.array(
        [_num_pairs(names) for names in kinds] + [0]
    )  # the last one: nothing is known of the item
    all_kinds = np.array([kind_of.get(ranking.item_id, -1) for ranking in rankings], dtype=np.int64)
    rows = np.flatnonzero(pairs_in[all_kinds])
    if not len(rows):
        return Comparisons((), np.zeros((0, 0, 0)), np.zeros((0, 0), dtype=np.int64))
    counted, kind = [rankings[row] for row in rows.tolist()], all_kinds[rows]
    names = list(kinds)
    names_of = {place: names[place] for place in np.unique(kind).tolist()}
    checkpoints = tuple(sorted({name for own in names_of.values() for name in own if name}))
    index = {name: place for place, name in enumerate(checkpoints)} | {"": -1}
    places_of = {place: [index[name] for name in own] for place, own in names_of.items()}
    num = len(checkpoints)

    items = np.array([ranking.item_id for ranking in counted], dtype=np.int64)
    groups, num_groups = groups_of_items(items)
    _, first, item_of, num_judges = np.unique(
        items, return_index=True, return_inverse=True, return_counts=True
    )
    weights = 1 / (num_judges[item_of] * pairs_in[kind])
    wins = np.zeros(num_groups * num * num)
    sizes = np.array([len(ranking.ranks) for ranking in counted])
    for size in np.unique(sizes).tolist():
        own = np.flatnonzero(sizes == size)
        ranks = rows_of([counted[row].ranks for row in own.tolist()], size)
        places = rows_of([places_of[row] for row in kind[own].tolist()], size)
        for one, other in itertools.combinations(range(size), 2):
            a, b = places[:, one], places[:, other]
            met = (a != b) & (a >= 0) & (b >= 0)
            points = (1 + np.sign(ranks[:, other] - ranks[:, one])) / 2
            start = groups[own] * num * num
            for winner, loser, won in ((a, b, points), (b, a, 1 - points)):
                cells = (start + winner * num + loser)[met]
                wins += np.bincount(cells, (weights[own] * won)[met], len(wins))
    num_prompts = _num_prompts(Counter(kind[first].tolist()), places_of, num)
    return Comparisons(checkpoints, wins.reshape(num_groups, num, num), num_prompts)


def strengths(comparisons: Comparisons, *, prior_ties: float = PRIOR_TIES) -> list[Strength]:
    """Each checkpoint's strength, the strongest first.

    The interval comes from leaving out groups of prompts in turn. Where some checkpoints never lost to the others,
    the prompts do not vary, and what an interval of independent prompts would be is taken instead (the inverse of the
    information), which is wider.
    """
    if len(comparisons.checkpoints) < 2:
        return []
    wins = comparisons.wins.sum(axis=0)
    values = fit_strengths(wins, prior_ties=prior_ties)
    errors = _errors_from_information(wins, values, prior_ties)
    num_groups = len(comparisons.wins)
    if num_groups > 1 and is_strongly_connected(wins):
        errors = jackknife_error(
            comparisons.wins, lambda own: fit_strengths(own, prior_ties=prior_ties, start=values)
        )
        half = student_t_95(num_groups - 1) * errors
    else:
        half = student_t_95(max(1, num_groups - 1)) * errors
    preferred = wins.sum(axis=1) / np.maximum((wins + wins.T).sum(axis=1), 1e-300)
    found = [
        Strength(
            name,
            float(values[place]),
            (float(values[place] - half[place]), float(values[place] + half[place])),
            float(preferred[place]),
            int(comparisons.num_prompts[place, place]),
        )
        for place, name in enumerate(comparisons.checkpoints)
    ]
    return sorted(found, key=lambda own: (-own.value, own.checkpoint))


def fit_strengths(
    wins: NDArray[np.float64], *, prior_ties: float = 0.0, start: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The most likely strengths, of mean 0, for `wins[a, b]` of a over b; by Newton's method.

    Without `prior_ties` they exist only where every checkpoint has a chain of wins to every other
    (`is_strongly_connected`, Ford 1957); ValueError otherwise.
    """
    if prior_ties <= 0 and not is_strongly_connected(wins):
        raise ValueError("somebody never lost or was never compared: strengths would be infinite")
    num = len(wins)
    games = wins + wins.T
    values = np.zeros(num) if start is None else start.copy()
    objective = _log_likelihood(wins, values, prior_ties)
    for _ in range(100):
        chance = _sigmoid(values[:, None] - values[None, :])
        own = _sigmoid(values)
        slope = (wins - games * chance).sum(axis=1) + prior_ties * (0.5 - own)
        if np.abs(slope).max() < 1e-10 * max(1.0, float(games.sum())):
            break
        step = np.linalg.solve(_information(games, values, prior_ties) + _mean_zero(num, prior_ties), slope)
        size = 1.0
        while size > 1e-8:
            moved = values + size * step
            reached = _log_likelihood(wins, moved, prior_ties)
            if reached >= objective - 1e-12 * abs(objective):
                break
            size /= 2
        values, objective = moved, reached
    return np.asarray(values - values.mean())


def is_strongly_connected(wins: NDArray[np.float64]) -> bool:
    """True when a chain of wins leads from everyone to everyone: then nobody is infinitely strong."""
    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(max(1, math.ceil(math.log2(max(2, len(wins)))))):
        reached = reached @ reached
    return bool(reached.all())


def _num_pairs(names: Sequence[str]) -> int:
    """Pairs of responses by two different known checkpoints."""
    return sum(bool(a and b and a != b) for a, b in itertools.combinations(names, 2))


def _num_prompts(
    num_items: Mapping[int, int], places_of: Mapping[int, Sequence[int]], num: int
) -> NDArray[np.int64]:
    """[a, b]: items in which both were compared; [a, a] those in which a was compared at all.

    `num_items` of each kind, and the places of each kind's checkpoints, -1 where one is not known.
    """
    found = np.zeros((num, num), dtype=np.int64)
    for kind, count in num_items.items():
        for a, b in itertools.product(set(places_of[kind]) - {-1}, repeat=2):
            found[a, b] += count
    return found


def _errors_from_information(
    wins: NDArray[np.float64], values: NDArray[np.float64], prior_ties: float
) -> NDArray[np.float64]:
    """Standard errors of values less their mean, were every prompt one independent comparison."""
    num = len(values)
    centre = np.eye(num) - 1 / num
    covariance = np.linalg.pinv(_information(wins + wins.T, values, prior_ties))
    return np.sqrt(np.diag(centre @ covariance @ centre))


def _information(
    games: NDArray[np.float64], values: NDArray[np.float64], prior_ties: float
) -> NDArray[np.float64]:
    chance = _sigmoid(values[:, None] - values[None, :])
    spread = games * chance * (1 - chance)
    own = _sigmoid(values)
    return np.diag(spread.sum(axis=1) + prior_ties * own * (1 - own)) - spread


def _mean_zero(num: int, prior_ties: float) -> NDArray[np.float64]:
    """Without a prior only differences are known: the mean is held where it is."""
    return np.full((num, num), 1.0) if prior_ties <= 0 else np.zeros((num, num))


def _log_likelihood(wins: NDArray[np.float64], values: NDArray[np.float64], prior_ties: float) -> float:
    against = values[:, None] - values[None, :]
    prior = np.logaddexp(0, values) + np.logaddexp(0, -values)
    return -float((wins * np.logaddexp(0, -against)).sum()) - prior_ties / 2 * float(prior.sum())


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))
