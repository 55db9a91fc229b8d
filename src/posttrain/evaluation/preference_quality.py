"""How well scores agree with held-out comparisons: accuracy, calibration, margins, the part of length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from posttrain.errors import DataError, InvariantError
from posttrain.evaluation.intervals import clustered_wilson_interval, mean, standard_error

NUM_CALIBRATION_BINS = 10
NUM_MARGIN_BINS = 20


@dataclass(frozen=True, slots=True)
class ScoredRanking:
    """A held-out ranking with the model's score of each response; `lengths` are response tokens.

    `prompt` names the prompt: rankings of one prompt are not independent.
    """

    prompt: str
    ranks: tuple[int, ...]
    scores: tuple[float, ...]
    lengths: tuple[int, ...]
    annotator: str = ""


class Pair(NamedTuple):
    """Two responses that a ranking orders: by how much the better one's score is ahead, and its length."""

    margin: float
    length_difference: int


class CalibrationBin(NamedTuple):
    """Pairs whose favourite has about one predicted probability, and how often the favourite was the better one."""

    num_pairs: int
    predicted: float
    observed: float


def ordered_pairs(ranking: ScoredRanking) -> list[Pair]:
    """Every pair that the ranking orders; ties are none."""
    responses = list(zip(ranking.ranks, ranking.scores, ranking.lengths, strict=True))
    return [
        Pair(better[1] - worse[1], better[2] - worse[2])
        for better, worse in itertools.permutations(responses, 2)
        if better[0] < worse[0]
    ]


def measure_preferences(
    rankings: Sequence[ScoredRanking], *, num_bins: int = NUM_CALIBRATION_BINS
) -> dict[str, Any]:
    """Held-out numbers by name, as a log holds them; probabilities are `sigmoid(score difference)`.

    accuracy            of pairs in the right order, each prompt weighing 1; equal scores are no win. With
                        `accuracy_low`, `accuracy_high` (95 %, clustered by prompt) and `standard_error`
    loss                -log of the probability of what people chose, in nats; each prompt weighs 1
    brier               mean squared error of the predicted probabilities, over pairs
    calibration_error   ECE: mean over `num_bins` bins of equal width in 0.5..1 of |predicted - observed| for the
                        pair's favourite, weighted by pairs; `calibration_bins` has [pairs, predicted, observed]
    margin_edges, margin_counts   histogram of score(better) - score(worse)
    score_mean, score_std, length_pearson, length_spearman   over all responses; length in response tokens
    favours_longer, people_favour_longer   shares of the pairs of unequal length: the model's favourite is the
                        longer one, the better one is
    accuracy_by_annotator   where there are several
    DataError when there is no ordered pair, InvariantError when a score is not finite.
    """
    if not all(math.isfinite(score) for ranking in rankings for score in ranking.scores):
        raise InvariantError(
            "the reward model gives held-out responses scores that are not finite. Lower the learning rate, or "
            "train in float32."
        )
    pairs_of = [(ranking, ordered_pairs(ranking)) for ranking in rankings]
    pairs = [pair for _, own in pairs_of for pair in own]
    if not pairs:
        raise DataError(
            "no held-out ranking puts one response before another, so there is nothing to measure"
        )
    margins = [pair.margin for pair in pairs]
    shares = _by_prompt(pairs_of, lambda pair: float(pair.margin > 0))
    low, high = clustered_wilson_interval(shares, len(pairs))
    bins = calibration_bins(margins, num_bins)
    edges, counts = margin_histogram(margins, NUM_MARGIN_BINS)
    scores = [score for ranking in rankings for score in ranking.scores]
    lengths = [length for ranking in rankings for length in ranking.lengths]
    measured: dict[str, Any] = {
        "accuracy": mean(shares),
        "accuracy_low": low,
        "accuracy_high": high,
        "standard_error": standard_error(shares),
        "loss": mean(_by_prompt(pairs_of, lambda pair: _softplus(-pair.margin))),
        "brier": mean([_sigmoid(-margin) ** 2 for margin in margins]),
        "calibration_error": sum(b.num_pairs * abs(b.predicted - b.observed) for b in bins) / len(pairs),
        "calibration_bins": [list(b) for b in bins],
        "margin_mean": mean(margins),
        "margin_edges": edges,
        "margin_counts": counts,
        "score_mean": mean(scores),
        "score_std": _deviation(scores),
        "length_pearson": correlation(scores, lengths),
        "length_spearman": correlation(_ranks(scores), _ranks(lengths)),
        **_longer_shares(pairs),
        "num_rankings": len(rankings),
        "num_pairs": len(pairs),
    }
    annotators = sorted({ranking.annotator for ranking in rankings})
    if len(annotators) > 1:
        measured["accuracy_by_annotator"] = {
            name: mean(own)
            for name in annotators
            if (
                own := _by_prompt(
                    [i for i in pairs_of if i[0].annotator == name], lambda p: float(p.margin > 0)
                )
            )
        }
    return measured


def calibration_bins(margins: Iterable[float], num_bins: int) -> list[CalibrationBin]:
    """Bins of equal width over the probability 0.5..1 of each pair's favourite; empty ones are left out.

    Equal scores have no favourite: half a win at probability 0.5.
    """
    members: dict[int, list[tuple[float, float]]] = {}
    for margin in margins:
        probability = _sigmoid(abs(margin))
        won = 0.5 if margin == 0 else float(margin > 0)
        place = min(int((probability - 0.5) * 2 * num_bins), num_bins - 1)
        members.setdefault(place, []).append((probability, won))
    return [
        CalibrationBin(len(own), mean([p for p, _ in own]), mean([won for _, won in own]))
        for _, own in sorted(members.items())
    ]


def margin_histogram(margins: Sequence[float], num_bins: int) -> tuple[list[float], list[int]]:
    """Edges and counts of equal bins, an even number of them and symmetric about 0, which parts right from wrong.

    A pair of equal scores is no win: it counts below 0.
    """
    half = num_bins // 2
    reach = max(map(abs, margins), default=0.0) or 1.0
    counts = [0] * (2 * half)
    for margin in margins:
        distance = min(int(abs(margin) / reach * half), half - 1)
        counts[half + distance if margin > 0 else half - 1 - distance] += 1
    return [reach * (i - half) / half for i in range(2 * half + 1)], counts


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None where one of them does not vary. With ranks it is Spearman's."""
    if len(one) < 2:
        return None
    mean_one, mean_other = mean(one), mean(other)
    deviations = [(a - mean_one, b - mean_other) for a, b in zip(one, other, strict=True)]
    spread = math.sqrt(math.fsum(a * a for a, _ in deviations) * math.fsum(b * b for _, b in deviations))
    if spread == 0:
        return None
    return max(-1.0, min(1.0, math.fsum(a * b for a, b in deviations) / spread))


def _by_prompt(
    pairs_of: Iterable[tuple[ScoredRanking, Sequence[Pair]]], number: Callable[[Pair], float]
) -> list[float]:
    """For each prompt the mean over its rankings of the mean over their pairs."""
    means: dict[str, list[float]] = {}
    for ranking, pairs in pairs_of:
        if pairs:
            means.setdefault(ranking.prompt, []).append(mean([number(pair) for pair in pairs]))
    return [mean(own) for own in means.values()]


def _longer_shares(pairs: Sequence[Pair]) -> dict[str, float | None]:
    unequal = [pair for pair in pairs if pair.length_difference != 0]
    model = [float((p.margin > 0) == (p.length_difference > 0)) for p in unequal if p.margin != 0]
    people = [float(p.length_difference > 0) for p in unequal]
    return {
        "favours_longer": mean(model) if model else None,
        "people_favour_longer": mean(people) if people else None,
    }


def _ranks(values: Sequence[float]) -> list[float]:
    """Places from 0; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [0.0] * len(values)
    start = 0
    for _, group in itertools.groupby(order, key=values.__getitem__):
        members = list(group)
        for index in members:
            places[index] = start + (len(members) - 1) / 2
        start += len(members)
    return places


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
