"""`posttrain rank-by-rule`: what it says of rankings that teach nothing."""

from __future__ import annotations

import json

import pytest

from posttrain.commands.rank_by_rule import rank_samples_by_rule
from posttrain.config.rank import RankByRuleConfig


@pytest.mark.parametrize(("responses", "warns"), [(["no", "nor"], True), (["no", "yes"], False)])
def test_rankings_that_are_all_ties_are_told(tmp_path, capsys, responses, warns):
    row = {
        "id": "a",
        "prompt": "Say yes.",
        "responses": responses,
        "finish_reasons": ["eos", "eos"],
        "model": "m",
    }
    (tmp_path / "samples.jsonl").write_text(json.dumps(row) + "\n")
    terms = {"terms": [{"name": "contains", "options": {"text": "yes"}}]}
    rank_samples_by_rule(
        RankByRuleConfig.model_validate(
            {"samples": tmp_path / "samples.jsonl", "output": tmp_path / "rankings.jsonl", "reward": terms}
        )
    )
    printed = capsys.readouterr().out
    assert ("every ranking holds all responses for equal" in printed) == warns
    assert "1 ranking" in printed
    assert "1 rankings" not in printed
