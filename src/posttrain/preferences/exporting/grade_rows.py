"""Grades of single responses: `prompt`, `completion`, `grade`, and the `label` that TRL's unpaired trainers take.

A row for each response that somebody graded or marked as unacceptable. The label is true from a grade of `good_from`
on, unless the response is marked. `weight` sums to 1 over the rows of a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from posttrain.data.comparisons import CUT, NO_TEXT, SETTLED, SKIPPED, count_dropped, is_text
from posttrain.preferences.exporting.judged_items import JudgedItem, Said, judged_items
from posttrain.preferences.exporting.trl_prompts import TRLForm, prompt_digest
from posttrain.preferences.left_out import LeftOutCounts

NO_GRADE = "a judgement without grades or marks"


def grade_rows(
    connection: Connection, left_out: LeftOutCounts, *, good_from: int, keep_cut: bool, as_messages: bool
) -> Iterator[dict[str, Any]]:
    """Rows of every grade and mark in force; `left_out` hears of judgements and responses that gave none."""
    num_rows: Counter[bytes] = Counter()
    is_conversational = as_messages
    for judged in judged_items(connection):
        dropped: list[tuple[str, str]] = []
        count = sum(len(_graded(judged, said, keep_cut, dropped)) for said in _in_force(judged, dropped))
        left_out.add_all(count_dropped(dropped))
        if count:
            is_conversational |= not isinstance(judged.item.prompt, str)
            num_rows[prompt_digest(judged.item.prompt)] += count
    form = TRLForm(is_conversational)
    for judged in judged_items(connection):
        for said in _in_force(judged, []):
            for index in _graded(judged, said, keep_cut, []):
                yield _row(judged, said, index, form, good_from, num_rows)


def _row(
    judged: JudgedItem, said: Said, index: int, form: TRLForm, good_from: int, num_rows: Counter[bytes]
) -> dict[str, Any]:
    item, judgement = judged.item, said.judgement
    grade, is_marked = judgement.grades[index], judgement.unacceptable[index]
    return {
        "id": f"{item.external_id}/{said.annotator}/{index + 1}",
        "prompt": form.prompt(item.prompt),
        "completion": form.response(item.responses[index]),
        "label": not is_marked and grade is not None and grade >= good_from,
        "grade": grade,
        "is_unacceptable": is_marked,
        "annotator": said.annotator,
        "weight": 1 / num_rows[prompt_digest(item.prompt)],
    }


def _in_force(judged: JudgedItem, dropped: list[tuple[str, str]]) -> Iterator[Said]:
    """What counts: all but skips, and where the item is settled only what settled it."""
    is_settled = any(said.judgement.settles and said.judgement.kind != "skip" for said in judged.said)
    for said in judged.said:
        name = f"{judged.item.external_id}/{said.annotator}"
        if said.judgement.kind == "skip":
            dropped.append((SKIPPED, name))
        elif is_settled and not said.judgement.settles:
            dropped.append((SETTLED, name))
        else:
            yield said


def _graded(judged: JudgedItem, said: Said, keep_cut: bool, dropped: list[tuple[str, str]]) -> list[int]:
    """The responses of this judgement that become rows."""
    item, judgement = judged.item, said.judgement
    name = f"{item.external_id}/{said.annotator}"
    found = [
        index
        for index in range(item.num_responses)
        if judgement.grades[index] is not None or judgement.unacceptable[index]
    ]
    if not found:
        dropped.append((NO_GRADE, name))
    kept = []
    for index in found:
        if not keep_cut and item.finish_reasons and item.finish_reasons[index] == "length":
            dropped.append((CUT, name))
        elif not is_text([item.prompt, item.responses[index]]):
            dropped.append((NO_TEXT, name))
        else:
            kept.append(index)
    return kept
