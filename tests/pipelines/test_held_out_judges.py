"""`evaluation.reward` of a stage is looked at as early, and as strictly, as its `reward`."""

from __future__ import annotations

import pytest
from tests.pipelines.small_pipelines import SmallPipeline

from posttrain.errors import PosttrainError


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"name": "contain"}, "did you mean 'contains'"),
        ({"function": "nothing.py:f"}, "there is nothing at"),
        ({"model": "@samples"}, "this setting takes a reward model"),
    ],
)
def test_a_wrong_held_out_judge_is_said_before_anything_runs(tmp_path, model, monkeypatch, term, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posttrain.pipelines.stage_runs.run_sample", lambda _: pytest.fail("it ran"))
    small = SmallPipeline(tmp_path, model)
    small.stages["policy"]["evaluation"] |= {"reward": {"terms": [term]}}
    with pytest.raises(PosttrainError, match=message):
        small.run()
    assert not small.output.exists()
