"""TRL's pairs: `prompt`, `chosen`, `rejected`, with a `weight` of which every prompt has 1 in total.

A prompt's 1 is divided evenly over the rankings of it, and a ranking's part over its pairs: whoever ranked more
responses, or had more company, does not count for more. TRL's trainers read no weights and no soft labels: without
`weight` each pair counts the same there, and `ties="both"` says of a tie what a label of 0.5 does, twice the other way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Literal

from sqlalchemy import Connection

from posttrain.preferences.exporting.training_rankings import rankings_by_item
from posttrain.preferences.exporting.trl_prompts import TRLForm, prompt_digest
from posttrain.preferences.left_out import LeftOutCounts
from posttrain.types import Ranking

TieRows = Literal["drop", "soft", "both"]
"""Tied responses: no pair; a pair whose `chosen_probability` is 0.5 (1.0 for the others); or a pair each way."""


def pair_rows(
    connection: Connection, left_out: LeftOutCounts, *, ties: TieRows, keep_cut: bool, as_messages: bool
) -> Iterator[dict[str, Any]]:
    """Rows of every pair in the rankings in force; `left_out` hears what taught nothing.

    Prompts are messages in all rows when one of them is, or with `as_messages`.
    """
    num_rankings: Counter[bytes] = Counter()
    is_conversational = as_messages
    for found in rankings_by_item(connection, keep_cut=keep_cut):
        left_out.add_all(found.dropped)
        for ranking in found.rankings:
            is_conversational |= not isinstance(ranking.prompt, str)
            num_rankings[prompt_digest(ranking.prompt)] += bool(_pairs(ranking, ties))
    form = TRLForm(is_conversational)
    for found in rankings_by_item(connection, keep_cut=keep_cut):
        for ranking in found.rankings:
            yield from _rows(ranking, 1 / max(num_rankings[prompt_digest(ranking.prompt)], 1), form, ties)


def _rows(ranking: Ranking, weight: float, form: TRLForm, ties: TieRows) -> Iterator[dict[str, Any]]:
    pairs = _pairs(ranking, ties)
    shares = [0.5 if ties == "both" and _is_tie(ranking, *pair) else 1.0 for pair in pairs]
    for number, ((better, worse), share) in enumerate(zip(pairs, shares, strict=True), start=1):
        row: dict[str, Any] = {
            "id": f"{ranking.ranking_id}/{number}",
            "prompt": form.prompt(ranking.prompt),
            "chosen": form.response(ranking.responses[better]),
            "rejected": form.response(ranking.responses[worse]),
            "annotator": ranking.annotator,
            "weight": weight * share / sum(shares),
        }
        if ties == "soft":
            row["chosen_probability"] = 0.5 if _is_tie(ranking, better, worse) else 1.0
        yield row


def _pairs(ranking: Ranking, ties: TieRows) -> list[tuple[int, int]]:
    """(better, worse) of every pair that becomes a row."""
    found = []
    for one, other in combinations(range(len(ranking.ranks)), 2):
        if _is_tie(ranking, one, other):
            found += {"drop": [], "soft": [(one, other)], "both": [(one, other), (other, one)]}[ties]
        else:
            found.append((one, other) if ranking.ranks[one] < ranking.ranks[other] else (other, one))
    return found


def _is_tie(ranking: Ranking, one: int, other: int) -> bool:
    return ranking.ranks[one] == ranking.ranks[other]
