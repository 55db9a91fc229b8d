"""Rankings as rows: none is ever split, and what is selected is what was there."""

from __future__ import annotations

import torch
from tests.training.test_preference_objective import token_batch


def test_a_row_is_a_ranking():
    batch = token_batch()
    assert len(batch) == 4
    assert batch.ranking_of_response.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert batch.prompt_groups == [0, 1, 0, 3]
    rows = batch.tokens.lengths.tolist()
    assert batch.lengths.tolist() == [
        3 * max(rows[:3]),
        2 * max(rows[3:5]),
        2 * max(rows[5:7]),
        4 * max(rows[7:]),
    ]


def test_selected_rankings_are_whole():
    batch = token_batch()
    part = batch.select([2, 0])
    assert part.ranking_sizes.tolist() == [2, 3]
    assert part.ranks.tolist() == [*batch.ranks[5:7].tolist(), *batch.ranks[:3].tolist()]
    assert part.weights.tolist() == [2.0, 1.0]
    assert part.margins.tolist() == [0.0, 0.0]
    width = part.tokens.token_ids.shape[1]
    assert width == int(part.tokens.lengths.max())
    assert torch.equal(part.tokens.token_ids, batch.tokens.token_ids[[5, 6, 0, 1, 2], :width])
    assert len(batch.select([])) == 0


def test_moved_whole():
    moved = token_batch().to("cpu")
    assert torch.equal(moved.ranks, token_batch().ranks)
