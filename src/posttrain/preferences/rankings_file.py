"""Rankings as lines of a file: what reward models learn from.

{"id": "q/1/anna", "prompt": "What is 3 + 4?", "responses": ["8", "7"], "ranks": [1, 0], "annotator": "anna",
 "finish_reasons": ["eos", "eos"]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posttrain.data.comparisons import LoadedRankings, load_rankings
from posttrain.errors import DataError
from posttrain.types import Ranking


def read_rankings_of_people(path: Path) -> LoadedRankings:
    """As `data.comparisons.load_rankings`. DataError also for a file of which nothing can be learned."""
    loaded = load_rankings(path)
    if not loaded.rankings:
        raise DataError(
            f"{path}: nothing in it can be learned from: {'; '.join(map(str, loaded.dropped))}. Rank at least two "
            "complete responses of different texts to a prompt."
        )
    return loaded


def encode_ranking(ranking: Ranking) -> bytes:
    """The line of a ranking, newline included; weight, margin and finish reasons where there is something to say."""
    row: dict[str, Any] = {
        "id": ranking.ranking_id,
        "prompt": ranking.prompt,
        "responses": ranking.responses,
        "ranks": ranking.ranks,
        "annotator": ranking.annotator,
    }
    if ranking.finish_reasons:
        row["finish_reasons"] = ranking.finish_reasons
    if ranking.weight != 1.0:
        row["weight"] = ranking.weight
    if ranking.margin != 0.0:
        row["margin"] = ranking.margin
    return json.dumps(row, allow_nan=False).encode() + b"\n"
