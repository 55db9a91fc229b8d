"""Ranks of responses: 0 best, equal ranks are a tie, no gaps."""

from __future__ import annotations

from collections.abc import Sequence


def reason_against_ranks(ranks: Sequence[int], num_responses: int) -> str | None:
    """What is wrong with these ranks for that many responses; None where nothing is."""
    if len(ranks) != num_responses:
        return f"there are {len(ranks)} ranks for {num_responses} responses"
    if any(isinstance(rank, bool) or not isinstance(rank, int) for rank in ranks):
        return f"ranks are whole numbers, and these are {list(ranks)!r}"
    # Not range(max(ranks)): a rank may be any number that somebody sends.
    if sorted(set(ranks)) != list(range(len(set(ranks)))):
        return f"ranks count from 0 (best) without gaps, and these are {list(ranks)!r}"
    return None
