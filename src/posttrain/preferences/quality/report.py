"""The quality of a store's rankings in one record: `quality_report(store)`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from posttrain.preferences.quality.disagreements import WORTH_SETTLING, Disagreement, disagreements
from posttrain.preferences.quality.enough import (
    MIN_GOLD_ITEMS,
    MIN_PROMPTS_OF_CHECKPOINT,
    MIN_RANKINGS_BY_PLACE,
    MIN_SHARED_ITEMS,
    MIN_TIMES,
    TooFew,
    if_enough,
)
from posttrain.preferences.quality.evidence import Evidence, Person, read_checkpoints, read_evidence
from posttrain.preferences.quality.gold import gold_accuracy
from posttrain.preferences.quality.habits import Times, shares_tied, times
from posttrain.preferences.quality.intervals import Estimate
from posttrain.preferences.quality.krippendorff import rank_alpha, value_alpha
from posttrain.preferences.quality.position_bias import (
    BestByPlace,
    PositionBias,
    RanksByPlace,
    best_by_place,
    position_bias,
    position_bias_of_each,
    ranks_by_place,
)
from posttrain.preferences.quality.rank_agreement import (
    Agreement,
    SharedRankings,
    agreement_of_two,
    agreement_with_others,
    overall_agreement,
    overall_tau_b,
    shared_rankings,
)
from posttrain.preferences.quality.strengths import Comparisons, Strength, compare_checkpoints, strengths
from posttrain.preferences.store.database import Store

PEOPLE_IN_MATRIX = 12
"""So many people, those with most rankings, are compared two by two."""


@dataclass(frozen=True, slots=True)
class PersonQuality:
    """One person's work. `pairs`, `tau_b`: with all others; `position` has its p-value corrected for the number of
    people; `num_gold_unranked` counts items with a known answer that they said cannot be ranked."""

    person: Person
    num_rankings: int
    num_cannot_rank: int
    num_skips: int
    seconds: Times | TooFew
    share_tied: float | None
    pairs: Estimate | TooFew
    tau_b: float | TooFew
    gold: Estimate | TooFew
    num_gold_unranked: int
    position: PositionBias | TooFew


@dataclass(frozen=True, slots=True)
class CheckpointQuality:
    """A checkpoint's strength, and how often it was preferred to each other one: (share, prompts)."""

    checkpoint: str
    num_prompts: int
    share_preferred: float
    strength: Strength | TooFew
    against: Mapping[str, tuple[float, int]]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What is known of a store's rankings at one moment. Gold items count for `gold` alone (see `Evidence`).

    `matrix`: the two annotator ids, the lower first -> how they agree, among those of `in_matrix`. `to_settle`: items
    that nobody has settled and about which people differ by `WORTH_SETTLING` or more. `flagged`: item -> by whom.
    """

    computed_at: float
    took_seconds: float
    newest_judgement_id: int
    num_rankings: int
    num_cannot_rank: int
    num_skips: int
    num_gold_judgements: int
    num_shared_items: int
    per_day: Mapping[int, int]
    seconds: Times | TooFew
    alpha: Estimate | TooFew
    agreement: Estimate | TooFew
    tau_b: Estimate | TooFew
    grade_alpha: Estimate | TooFew
    mark_alpha: Estimate | TooFew
    people: tuple[PersonQuality, ...]
    in_matrix: tuple[Person, ...]
    matrix: Mapping[tuple[int, int], Agreement]
    position: PositionBias | TooFew
    best_by_place: BestByPlace | None
    num_judged_twice: int
    to_settle: tuple[Disagreement, ...]
    num_settled: int
    flagged: Mapping[int, tuple[int, ...]]
    checkpoints: tuple[CheckpointQuality, ...]


def quality_report(store: Store, *, checkpoints: dict[int, tuple[str, ...]] | None = None) -> QualityReport:
    """Everything that is known of the store's rankings now.

    `checkpoints`: what `read_checkpoints` found before, to which the newer items are added; so that a server reads
    them once.
    """
    started = time.perf_counter()
    evidence = read_evidence(store)
    known = {} if checkpoints is None else checkpoints
    known.update(read_checkpoints(store, known))
    shared = shared_rankings(evidence.rankings)
    all_seconds = [one for own in evidence.seconds.values() for one in own]
    differing = disagreements(evidence.rankings, shared, (item for item, _ in evidence.cannot_rank))
    num_shared = len(np.unique(shared.items))
    in_matrix = _in_matrix(evidence)
    shown = ranks_by_place(evidence.rankings)
    most_cards = max(best_by_place(shown).values(), key=lambda own: own.num_rankings, default=None)
    position = position_bias(shown)
    num_by_place = position.num_rankings if position else 0
    return QualityReport(
        computed_at=store.now(),
        newest_judgement_id=evidence.newest_judgement_id,
        num_rankings=len(evidence.rankings),
        num_cannot_rank=len(evidence.cannot_rank),
        num_skips=evidence.num_skips.total(),
        num_gold_judgements=len(evidence.gold_rankings) + len(evidence.gold_cannot_rank),
        num_shared_items=num_shared,
        per_day=evidence.per_day,
        seconds=if_enough(times(all_seconds), len(all_seconds), MIN_TIMES),
        alpha=_of_items(rank_alpha(evidence.rankings)),
        agreement=_of_items(overall_agreement(shared)),
        tau_b=_of_items(overall_tau_b(shared)),
        grade_alpha=_of_items(value_alpha(evidence.grades)),
        mark_alpha=_of_items(value_alpha(evidence.marks)),
        people=_people(evidence, shared, shown),
        in_matrix=in_matrix,
        matrix=agreement_of_two(shared, [person.annotator_id for person in in_matrix]),
        position=if_enough(position, num_by_place, MIN_RANKINGS_BY_PLACE),
        best_by_place=most_cards if most_cards and most_cards.num_rankings >= MIN_RANKINGS_BY_PLACE else None,
        num_judged_twice=len(differing),
        to_settle=tuple(
            own for own in differing if own.score >= WORTH_SETTLING and own.item_id not in evidence.settled
        ),
        num_settled=len(evidence.settled),
        flagged={item: tuple(people) for item, people in evidence.flagged.items()},
        checkpoints=_checkpoints(compare_checkpoints(evidence.rankings, known)),
        took_seconds=time.perf_counter() - started,
    )


def _of_items(estimate: Estimate | None) -> Estimate | TooFew:
    return if_enough(estimate, estimate.num_items if estimate else 0, MIN_SHARED_ITEMS)


def _in_matrix(evidence: Evidence) -> tuple[Person, ...]:
    busiest = Counter(ranking.annotator_id for ranking in evidence.rankings).most_common(PEOPLE_IN_MATRIX)
    return tuple(sorted((evidence.people[number] for number, _ in busiest), key=lambda person: person.name))


def _people(
    evidence: Evidence, shared: SharedRankings, shown: Mapping[int, RanksByPlace]
) -> tuple[PersonQuality, ...]:
    num_rankings = Counter(ranking.annotator_id for ranking in evidence.rankings)
    num_cannot = Counter(annotator for _, annotator in evidence.cannot_rank)
    gold_unranked = Counter(annotator for _, annotator in evidence.gold_cannot_rank)
    tied = shares_tied(evidence.rankings)
    agreement = agreement_with_others(shared)
    gold = gold_accuracy(evidence.gold_rankings, evidence.gold_answers)
    position = position_bias_of_each(shown)
    judged = (
        num_rankings.keys()
        | num_cannot.keys()
        | evidence.num_skips.keys()
        | gold.keys()
        | gold_unranked.keys()
    )
    found = []
    for number in judged:
        own = agreement.get(number, Agreement(None, None, 0))
        seconds = evidence.seconds.get(number, [])
        place = position.get(number)
        found.append(
            PersonQuality(
                evidence.people[number],
                num_rankings[number],
                num_cannot[number],
                evidence.num_skips[number],
                if_enough(times(seconds), len(seconds), MIN_TIMES),
                tied.get(number),
                _of_items(own.pairs),
                if_enough(own.tau_b, own.num_items, MIN_SHARED_ITEMS),
                if_enough(gold.get(number), gold[number].num_items if number in gold else 0, MIN_GOLD_ITEMS),
                gold_unranked[number],
                if_enough(place, place.num_rankings if place else 0, MIN_RANKINGS_BY_PLACE),
            )
        )
    return tuple(sorted(found, key=lambda own: (-own.num_rankings, own.person.name)))


def _checkpoints(compared: Comparisons) -> tuple[CheckpointQuality, ...]:
    wins = compared.wins.sum(axis=0) if len(compared.wins) else compared.wins
    index = {name: place for place, name in enumerate(compared.checkpoints)}
    found = []
    for strength in strengths(compared):
        own = index[strength.checkpoint]
        against = {}
        for name, other in index.items():
            games = float(wins[own, other] + wins[other, own])
            if other != own and games > 0:
                against[name] = (float(wins[own, other]) / games, int(compared.num_prompts[own, other]))
        enough = if_enough(strength, strength.num_prompts, MIN_PROMPTS_OF_CHECKPOINT)
        found.append(
            CheckpointQuality(
                strength.checkpoint, strength.num_prompts, strength.share_preferred, enough, against
            )
        )
    return tuple(found)
