"""The numbers at the top of the page: each with its interval, and a sentence of what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.intervals import Estimate
from posttrain.preferences.quality.report import QualityReport
from posttrain.preferences.store.progress import StoreProgress
from posttrain.web.quality.words import (
    count,
    decimal,
    decimal_range,
    duration,
    p_value,
    percent,
    percent_range,
    too_few,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A number with its name. `range` is the 95 % interval or what else belongs beside it; either may be ""."""

    name: str
    value: str
    range: str
    sentence: str
    is_known: bool = True


def tiles(report: QualityReport, progress: StoreProgress) -> list[Tile]:
    """Progress, time, and what holds for all people together."""
    return [
        _progress(report, progress),
        _time(report, progress),
        _agreement(report.agreement),
        _coefficient(
            "Krippendorff's alpha",
            report.alpha,
            "1 is full agreement, 0 is chance, each response compared by its place. For preferences 0.3 to 0.5 is "
            "usual; lower asks for clearer guidelines.",
        ),
        _coefficient(
            "Kendall's tau-b",
            report.tau_b,
            "Pairs in the same order less pairs in opposite ones: 1 is the same orders, 0 chance. A tie of one person "
            "alone counts against. Where it falls and agreement stays, say in the guidelines when to tie.",
        ),
        _position(report),
        *_further(report),
    ]


def _progress(report: QualityReport, progress: StoreProgress) -> Tile:
    share = progress.num_judged / progress.num_wanted if progress.num_wanted else 0.0
    return Tile(
        "Progress",
        percent(share),
        f"{progress.num_judged:,} of {count(progress.num_wanted, 'judgement')}",
        f"{progress.num_closed:,} of {count(progress.num_items, 'item')} have all the judges they want; "
        f"{progress.num_leased:,} are open on somebody's screen. {count(report.num_skips, 'skip')}; "
        f"{report.num_cannot_rank:,} times somebody said that an item cannot be ranked.",
    )


def _time(report: QualityReport, progress: StoreProgress) -> Tile:
    name = "Time per item"
    if isinstance(report.seconds, TooFew):
        return _unknown(
            name, too_few(report.seconds, "times"), "The middle of the times people worked at an item."
        )
    left = max(0, progress.num_wanted - progress.num_judged) * report.seconds.median
    rest = f"What is left is about {duration(left)} of work." if left else "Nothing is left to judge."
    return Tile(
        name,
        duration(report.seconds.median),
        f"{duration(report.seconds.low)} to {duration(report.seconds.high)}",
        f"Half of the items take less, and eight of ten lie in the range. {rest}",
    )


def _agreement(agreement: Estimate | TooFew) -> Tile:
    name = "Agreement"
    sentence = (
        "When two people both put one response before another, how often it is the same one. 50 % is chance; in "
        "published work 63 to 77 %. Lower: read disagreements together."
    )
    if isinstance(agreement, TooFew):
        return _unknown(name, too_few(agreement, "shared items"), sentence)
    return Tile(name, percent(agreement.value), percent_range(agreement.interval), sentence)


def _coefficient(name: str, number: Estimate | TooFew, sentence: str) -> Tile:
    if isinstance(number, TooFew):
        return _unknown(name, too_few(number, "shared items"), sentence)
    return Tile(name, decimal(number.value), decimal_range(number.interval), sentence)


def _position(report: QualityReport) -> Tile:
    name = "Position bias"
    sentence = (
        "How often the card shown first is ranked before the one shown last. 50 % is no bias. A small p says that "
        "the place matters: ask people to read all cards."
    )
    if isinstance(report.position, TooFew):
        return _unknown(name, too_few(report.position, "rankings"), sentence)
    first = report.position.first_before_last
    value = "none seen" if first is None else percent(first.value)
    beside = "" if first is None else f"{percent_range(first.interval)}, "
    return Tile(name, value, f"{beside}{p_value(report.position.p_value)}", sentence)


def _further(report: QualityReport) -> list[Tile]:
    """Grades and marks are voluntary: said where they are used."""
    found = []
    if not isinstance(report.grade_alpha, TooFew):
        found.append(
            _coefficient(
                "Alpha of grades",
                report.grade_alpha,
                "As alpha, for the grades from 1 to 5 that people gave.",
            )
        )
    if not isinstance(report.mark_alpha, TooFew):
        sentence = "As alpha, for the mark 'unacceptable'. Low: say in the guidelines what is unacceptable."
        found.append(_coefficient("Alpha of unacceptable", report.mark_alpha, sentence))
    return found


def _unknown(name: str, instead: str, sentence: str) -> Tile:
    return Tile(name, instead, "", sentence, is_known=False)
