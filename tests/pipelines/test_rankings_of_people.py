"""The stage `rank` on a file that people filled in: taken in any format, written in one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posttrain.config.rank import RankStageConfig
from posttrain.data.comparisons import load_rankings
from posttrain.pipelines.stage_runs import run_rank

ROWS = [
    {"id": "q/1", "prompt": "3 + 4?", "responses": ["7", "8", "9"], "ranks": [0, 1, 1], "weight": 2.0},
    {"id": "q/2", "prompt": "a?", "responses": ["b", "c"], "ranks": [1, 0], "weight": 1.0},
    {"id": "q/3", "prompt": "d?", "responses": ["e", "e"], "ranks": [1, 0], "weight": 1.0},
]


def taken(theirs: Path, folder: Path) -> tuple[Path, str]:
    output = folder / "ranked/rankings.jsonl"
    return output, run_rank(RankStageConfig(output=output, rankings=theirs)).outcome


@pytest.mark.parametrize("name", ["by-people.parquet", "by-people.PQ"])
def test_a_parquet_file_becomes_the_lines_that_the_stages_behind_read(tmp_path, name):
    theirs = tmp_path / name
    pq.write_table(pa.Table.from_pylist(ROWS), theirs)
    output, outcome = taken(theirs, tmp_path)
    assert outcome.startswith("2 rankings of people")
    assert load_rankings(output).rankings == load_rankings(theirs).rankings


def test_lines_are_taken_too(tmp_path):
    theirs = tmp_path / "by-people.jsonl"
    theirs.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    output, _ = taken(theirs, tmp_path)
    assert [ranking.ranking_id for ranking in load_rankings(output).rankings] == ["q/1", "q/2"]
