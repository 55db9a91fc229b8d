"""Answers that a reward model is calibrated on: demonstrations, or the best of each comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from posttrain.data.comparisons import load_rankings
from posttrain.data.demonstrations import Demonstration, DemonstrationColumns, load_demonstrations
from posttrain.data.held_out import content_number
from posttrain.data.record_files import open_rows
from posttrain.errors import DataError
from posttrain.types import Prompt, Ranking

Answer = tuple[Prompt, str]
"""A prompt that is not rendered, and the answer to it."""

_COLUMNS: Final = DemonstrationColumns("messages", "prompt", "completion", "text")


def load_reference_answers(path: Path) -> list[Answer]:
    """The file's demonstrations, or the best-ranked response of each of its comparisons. DataError for neither."""
    rows, _ = open_rows(path)
    _, first = next(iter(rows), (0, ""))
    if isinstance(first, dict) and {"ranks", "chosen"} & first.keys():
        return best_ranked(load_rankings(path).rankings)
    return [_answer(path, item) for item in load_demonstrations(path, _COLUMNS)]


def best_ranked(rankings: Iterable[Ranking]) -> list[Answer]:
    """The best response of each ranking, the first of them in a tie."""
    return [
        (
            Prompt(ranking.ranking_id, ranking.prompt),
            ranking.responses[ranking.ranks.index(min(ranking.ranks))],
        )
        for ranking in rankings
    ]


def drawn_by_content(answers: Sequence[Answer], count: int) -> list[Answer]:
    """So many of the answers, the same ones whatever order they come in; all of them when there are fewer."""
    return sorted(answers, key=lambda answer: content_number(f"{answer[0].content}|{answer[1]}"))[:count]


def _answer(path: Path, item: Demonstration) -> Answer:
    if item.is_plain_text:
        raise DataError(
            f"{path}: {item.demonstration_id} is plain text, with nothing that it answers. Reference answers need "
            "a prompt: 'messages', or 'prompt' and 'completion'."
        )
    *before, last = item.messages
    if last["role"] != "assistant":
        raise DataError(
            f"{path}: {item.demonstration_id} ends with a message of the role {last['role']!r}, not with an answer"
        )
    content = item.context if isinstance(item.context, str) else tuple(before)
    return Prompt(item.demonstration_id, content), last["content"]
