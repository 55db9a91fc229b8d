"""Samples as a table, and two evaluations of the same prompts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posttrain.errors import DataError
from posttrain.evaluation.evaluate import Evaluation, PromptResult
from posttrain.evaluation.intervals import mean, paired_bootstrap_interval, standard_error
from posttrain.evaluation.printable import printable, shortened
from posttrain.evaluation.sample import Sample

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better `after` is than `before` on the same prompts.

    `difference` is the mean over prompts of the change of the prompt's mean score, `standard_error` its
    paired standard error (None for one prompt), `interval` a 95 % paired bootstrap interval. `num_better`,
    `num_worse` and `num_equal` count prompts; prompts that one side could not score are left out.
    """

    difference: float
    standard_error: float | None
    interval: tuple[float, float]
    num_better: int
    num_worse: int
    num_equal: int
    num_left_out: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not contain 0."""
        return self.interval[0] > 0 or self.interval[1] < 0

    def summary(self) -> str:
        """One line for people."""
        low, high = self.interval
        verdict = "" if self.is_clear else ", which may be chance"
        left_out = f", {self.num_left_out} not scored" if self.num_left_out else ""
        return (
            f"{self.difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f}{verdict}): "
            f"prompts: {self.num_better} better, {self.num_worse} worse, {self.num_equal} equal{left_out}"
        )


def compare(before: Evaluation, after: Evaluation, *, seed: int = 0) -> Comparison:
    """The change from one evaluation to another, paired by prompt; the same for one seed.

    Pairing takes the prompts' difficulty out, so small changes show. DataError when the two are not of the
    same prompts.
    """
    pairs = _paired(before, after)
    differences = [
        b.mean_score - a.mean_score for a, b in pairs if a.mean_score is not None and b.mean_score is not None
    ]
    if not differences:
        raise DataError(
            "no prompt was scored in both evaluations, so they cannot be compared. "
            "See why in the samples' failures."
        )
    return Comparison(
        difference=mean(differences),
        standard_error=standard_error(differences),
        interval=paired_bootstrap_interval(differences, seed=seed),
        num_better=sum(difference > 0 for difference in differences),
        num_worse=sum(difference < 0 for difference in differences),
        num_equal=sum(difference == 0 for difference in differences),
        num_left_out=len(pairs) - len(differences),
    )


def _paired(before: Evaluation, after: Evaluation) -> list[tuple[PromptResult, PromptResult]]:
    pairs = list(zip(before.prompts, after.prompts, strict=False))
    if len(before.prompts) != len(after.prompts) or any(a.prompt_id != b.prompt_id for a, b in pairs):
        raise DataError(
            "the two evaluations are not of the same prompts in the same order, so a difference would "
            "measure the prompts too. Evaluate both on one held-out set."
        )
    return pairs


def samples_table(
    samples: Sequence[Sample], *, title: str = "Samples", max_rows: int = 12, max_characters: int = 200
) -> Table:
    """A rich table: prompt, response, score, length; at most `max_rows`, spread evenly, and it says so."""
    from rich.table import Table
    from rich.text import Text

    shown = spread(samples, max_rows)
    caption = None if len(shown) == len(samples) else f"{len(shown)} of {len(samples)}"
    table = Table(title=Text(printable(title)), caption=caption, show_lines=True)
    table.add_column("prompt", ratio=2)
    table.add_column("response", ratio=3)
    table.add_column("score", justify="right")
    table.add_column("tokens", justify="right")
    for sample in shown:
        table.add_row(
            Text(_cell(sample.prompt, max_characters)),
            Text(_cell(sample.response, max_characters)),
            score_text(sample),
            _length_text(sample),
        )
    return table


def comparison_table(
    before: Evaluation, after: Evaluation, *, max_rows: int = 12, max_characters: int = 200
) -> Table:
    """A rich table with the same prompt's same sample before and after; most changed scores first."""
    from rich.table import Table
    from rich.text import Text

    rows = _changed_first(before, after)
    table = Table(
        title="Before and after", caption=f"{min(max_rows, len(rows))} of {len(rows)}", show_lines=True
    )
    table.add_column("prompt", ratio=2)
    table.add_column("before", ratio=3)
    table.add_column("after", ratio=3)
    table.add_column("score", justify="right")
    for a, b in rows[:max_rows]:
        table.add_row(
            Text(_cell(a.prompt, max_characters)),
            Text(_cell(a.response, max_characters)),
            Text(_cell(b.response, max_characters)),
            f"{score_text(a)} -> {score_text(b)}",
        )
    return table


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of the samples, evenly spread, in order; always the same ones."""
    if len(samples) <= count:
        return list(samples)
    return [samples[index * len(samples) // count] for index in range(max(0, count))]


def score_text(sample: Sample) -> str:
    """The score with three digits, or "unscored"."""
    return "unscored" if sample.score is None else f"{sample.score:.3g}"


def _length_text(sample: Sample) -> str:
    return f"{sample.length} (cut)" if sample.is_cut else str(sample.length)


def _cell(text: str, max_characters: int) -> str:
    return printable(shortened(text, max_characters))


def _changed_first(before: Evaluation, after: Evaluation) -> list[tuple[Sample, Sample]]:
    """The first samples of each prompt, before and after; the largest change of the score first.

    One sample of a prompt, so that the rows show different prompts.
    """
    _paired(before, after)
    pairs = [
        (before.samples[i * before.samples_per_prompt], after.samples[i * after.samples_per_prompt])
        for i in range(len(before.prompts))
    ]
    return sorted(pairs, key=lambda pair: -abs((pair[1].score or 0.0) - (pair[0].score or 0.0)))
