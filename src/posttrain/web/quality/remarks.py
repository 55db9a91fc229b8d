"""What stands out in a report, and what to do about it: read first, before any number."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.position_bias import PositionBias
from posttrain.preferences.quality.report import PersonQuality, QualityReport
from posttrain.web.quality.words import count, decimal, duration, p_value, percent

CHANCE = 0.5
LOW_AGREEMENT = 0.6
GOOD_GOLD = 0.75
FAST_PART = 1 / 3
MANY_TIES = 0.8
SURE = 0.01
LEAST_CORRELATION = 0.03
LEAST_DIFFERENCE = 0.05
# With very many rankings any trifle is sure; below these nothing has to be done about it.


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to look at: what was seen, what to do, and the part of the page that shows it."""

    seen: str
    do: str
    section: str


def remarks(report: QualityReport) -> list[Remark]:
    """Most important first; empty where nothing stands out of what can be said so far."""
    return [
        *_about_agreement(report),
        *_about_places(report),
        *(remark for person in report.people for remark in _about_person(person, report)),
        *_about_disagreements(report),
        *_about_checkpoints(report),
    ]


def _about_agreement(report: QualityReport) -> Iterator[Remark]:
    agreement = report.agreement
    if isinstance(agreement, TooFew):
        return
    low, high = agreement.interval or (agreement.value, agreement.value)
    if low <= CHANCE:
        yield Remark(
            f"People agree on {percent(agreement.value)} of pairs, which may be chance.",
            "Read some disagreements together and write into the guidelines what decides, before more is ranked.",
            "to-settle",
        )
    elif high < LOW_AGREEMENT:
        yield Remark(
            f"People agree on {percent(agreement.value)} of pairs, little more than chance.",
            "Make the guidelines clearer, or sample responses that differ more.",
            "to-settle",
        )


def _about_places(report: QualityReport) -> Iterator[Remark]:
    position = report.position
    if isinstance(position, TooFew) or not _matters(position):
        return
    where = "first" if position.correlation > 0 else "last"
    yield Remark(
        f"Cards shown {where} are ranked better than the others ({p_value(position.p_value)}).",
        "Ask people to read all cards before they rank. The order is shuffled, so with enough rankings it evens out.",
        "position",
    )


def _matters(position: PositionBias) -> bool:
    return position.p_value < SURE and abs(position.correlation) >= LEAST_CORRELATION


def _about_person(own: PersonQuality, report: QualityReport) -> Iterator[Remark]:
    name = own.person.name
    if not isinstance(own.gold, TooFew) and own.gold.interval and own.gold.interval[1] < GOOD_GOLD:
        yield Remark(
            f"{name} is right on {percent(own.gold.value)} of known answers ({count(own.gold.num_items, 'item')}).",
            "Go through those items with them; guessing gives 50 %.",
            "people",
        )
    overall = report.agreement
    if (
        not isinstance(own.pairs, TooFew)
        and not isinstance(overall, TooFew)
        and own.pairs.interval
        and overall.interval
        and len(report.people) > 2
        and own.pairs.interval[1] < overall.interval[0]
        and own.pairs.value < overall.value - LEAST_DIFFERENCE
    ):
        yield Remark(
            f"{name} agrees with the others on {percent(own.pairs.value)} of pairs, all together on "
            f"{percent(overall.value)}.",
            "Look at some of their disagreements: they may read the guidelines in another way.",
            "people",
        )
    if not isinstance(own.position, TooFew) and _matters(own.position) and len(report.people) > 1:
        where = "first" if own.position.correlation > 0 else "last"
        yield Remark(
            f"{name} ranks cards shown {where} better (correlation {decimal(own.position.correlation)}, "
            f"{p_value(own.position.p_value)}).",
            "Ask whether they read all cards.",
            "people",
        )
    if own.share_tied is not None and own.share_tied > MANY_TIES and own.num_rankings >= 20:
        yield Remark(
            f"{name} ties {percent(own.share_tied)} of pairs.",
            "Say in the guidelines when a tie is right; a reward model learns little from ties.",
            "people",
        )
    medians = [p.seconds.median for p in report.people if not isinstance(p.seconds, TooFew)]
    if len(medians) > 2 and not isinstance(own.seconds, TooFew):
        usual = statistics.median(medians)
        if own.seconds.num >= 20 and own.seconds.median < FAST_PART * usual:
            yield Remark(
                f"{name} takes {duration(own.seconds.median)} an item, others {duration(usual)}.",
                "Look at their accuracy on known answers: fast may be practised, or not read.",
                "people",
            )


def _about_disagreements(report: QualityReport) -> Iterator[Remark]:
    if report.to_settle:
        differ = "differs" if len(report.to_settle) == 1 else "differ"
        yield Remark(
            f"{count(len(report.to_settle), 'item')} {differ} between people as much as random orders would.",
            "Settle them below, or get a further opinion: posttrain queue STORE --by disagreement.",
            "to-settle",
        )


def _about_checkpoints(report: QualityReport) -> Iterator[Remark]:
    known = [own.strength for own in report.checkpoints if not isinstance(own.strength, TooFew)]
    if len(known) < 2:
        return
    best, second = known[0], known[1]
    if best.interval[0] <= second.value and second.interval[1] >= best.value:
        yield Remark(
            f"{best.checkpoint} and {second.checkpoint}, the strongest two, are not told apart yet.",
            "Rank more prompts that both answered: posttrain queue STORE --by models.",
            "checkpoints",
        )
