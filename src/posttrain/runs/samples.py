"""Samples that can be browsed: scored rollouts of training in samples.jsonl, and one page that shows them.

samples.jsonl holds the same bytes for the same run. samples.html is a view of it, written anew when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from posttrain.evaluation.sample import Sample
from posttrain.runs.durable_file import replace_file
from posttrain.runs.json_row import Row
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RowFile, read_rows
from posttrain.runs.samples_page import render_page
from posttrain.types import ScoredRollout

KEPT_PER_STEP = 32
ROWS_ON_PAGE = 2000


def choose_samples(scored: Sequence[ScoredRollout], count: int) -> list[ScoredRollout]:
    """At most `count` of a step's rollouts, in order; always the same ones for the same step.

    Whole groups, evenly spread over the step, because a response means most beside its siblings. A group that
    is larger than the room for it keeps its best and worst response and others evenly spread between.
    """
    if len(scored) <= count:
        return list(scored)
    groups: dict[str, list[ScoredRollout]] = {}
    for sample in scored:
        groups.setdefault(sample.rollout.prompt.group_id, []).append(sample)
    largest = max(len(group) for group in groups.values())
    num_groups = min(len(groups), max(1, count // largest))
    names = list(groups)
    chosen = [groups[names[index * len(names) // num_groups]] for index in range(num_groups)]
    room = count // num_groups
    return [sample for group in chosen for sample in _thinned(group, room)]


def _thinned(group: list[ScoredRollout], count: int) -> list[ScoredRollout]:
    if len(group) <= count:
        return group

    def rank(index: int) -> tuple[float, int]:
        value = group[index].score.value
        return (float("-inf") if value is None else -value, index)  # unscored first, then the best

    ranked = sorted(range(len(group)), key=rank)
    last = len(ranked) - 1
    kept = {ranked[round(index * last / max(1, count - 1))] for index in range(count)}
    return [group[index] for index in sorted(kept)]


def append_samples(
    file: RowFile, step: int, scored: Sequence[ScoredRollout], *, keep: int = KEPT_PER_STEP
) -> None:
    """The chosen samples of the step are in `file`; on disk after its next `sync`.

    Call it before `RunLog.write_step`, which syncs it along: `append_samples(log.samples, step, scored)`.
    The first row of the step says how many there were.
    """
    chosen = choose_samples(scored, keep)
    rows: list[dict[str, Any]] = [Sample.of(sample).to_dict() for sample in chosen]
    if rows:
        rows[0]["num_in_step"] = len(scored)
    file.append(step, *rows)


def write_samples_page(folder: RunFolder, *, title: str, max_rows: int = ROWS_ON_PAGE) -> Path:
    """samples.html shows the run's samples, and held-out answers before and after; returns its path.

    At most `max_rows` training samples, of steps evenly spread from the first to the last; the page says so.
    """
    rows = read_rows(folder.samples)
    num_generated = sum(row.get("num_in_step", 0) for row in rows)
    shown = _spread_steps(rows, max_rows)
    page = render_page(
        title=title,
        samples=shown,
        num_kept=len(rows),
        num_generated=max(num_generated, len(rows)),
        before_after=before_after(read_rows(folder.evaluations)),
    )
    replace_file(folder.samples_page, page.encode())
    return folder.samples_page


def _spread_steps(rows: Sequence[Row], max_rows: int) -> list[Row]:
    if len(rows) <= max_rows:
        return list(rows)
    by_step: dict[int, list[Row]] = {}
    for row in rows:
        by_step.setdefault(row["step"], []).append(row)
    steps = list(by_step)
    largest = max(len(group) for group in by_step.values())
    count = min(len(steps), max(1, max_rows // largest))
    last = len(steps) - 1
    kept = sorted({round(index * last / max(1, count - 1)) for index in range(count)})
    return [row for index in kept for row in by_step[steps[index]]][:max_rows]


def before_after(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first and the last evaluation, sample by sample, or None when there are not two with samples.

    Keys: before_step, after_step, and rows of prompt_id, sample_index, prompt, before, after (sample rows).
    """
    with_samples = [row for row in evaluations if row.get("samples")]
    if len(with_samples) < 2:
        return None
    first, last = with_samples[0], with_samples[-1]
    earlier = {_name(sample): sample for sample in first["samples"]}
    pairs = [(earlier[_name(sample)], sample) for sample in last["samples"] if _name(sample) in earlier]
    return {
        "before_step": first["step"],
        "after_step": last["step"],
        "rows": [
            {
                "prompt_id": after["prompt_id"],
                "sample_index": after["sample_index"],
                "prompt": after["prompt"],
                "before": before,
                "after": after,
            }
            for before, after in pairs
        ],
    }


def _name(sample: Mapping[str, Any]) -> tuple[str, int, int]:
    return sample["prompt_id"], sample["epoch"], sample["sample_index"]
