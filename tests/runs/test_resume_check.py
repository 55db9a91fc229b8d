from __future__ import annotations

from pathlib import Path

import pytest

from posttrain.errors import ConfigError
from posttrain.runs.resume import compare_configs, refuse_changes

SAVED = {"steps": 100, "sampling": {"temperature": 1.0, "stop": ["a"]}, "checkpoint": {"keep": 2}, "lora": {}}


def test_equal_configs_have_no_differences():
    new = {
        "steps": 100.0,
        "sampling": {"temperature": 1, "stop": ("a",)},
        "checkpoint": {"keep": 2},
        "lora": None,
    }
    assert compare_configs(SAVED, new, set()) == []
    assert (
        compare_configs({"a": Path("x/y"), "b": float("nan")}, {"a": "x/y", "b": float("nan")}, set()) == []
    )


def test_differences_are_dotted_and_readable():
    new = {"steps": 200, "sampling": {"temperature": 0.7, "top_p": 0.9}, "checkpoint": {"keep": 3}}
    found = compare_configs(SAVED, new, {"steps", "checkpoint.*"})
    assert [(d.key, d.is_allowed) for d in found] == [
        ("checkpoint.keep", True),
        ("sampling.stop", False),
        ("sampling.temperature", False),
        ("sampling.top_p", False),
        ("steps", True),
    ]
    assert str(found[2]) == "sampling.temperature: 1.0 in the run -> 0.7 now"
    assert str(found[3]) == "sampling.top_p: not set in the run -> 0.9 now"
    with pytest.raises(ConfigError) as error:
        refuse_changes(found)
    assert "sampling.temperature: 1.0 in the run -> 0.7 now" in str(error.value)
    assert "steps" not in str(error.value).replace("settings", "")
    refuse_changes([d for d in found if d.is_allowed])


def test_true_is_not_one_and_a_section_that_became_a_value_is_a_difference():
    assert [d.key for d in compare_configs({"a": True, "b": {"c": 1}}, {"a": 1, "b": 1}, set())] == [
        "a",
        "b",
        "b.c",
    ]
    assert compare_configs({"a": [{"w": 1}]}, {"a": [{"w": 1.0}]}, set()) == []
    (difference,) = compare_configs({"terms": [{"w": 1}]}, {"terms": [{"w": 2}]}, set())
    assert difference.key == "terms"


def test_a_star_covers_its_section_only():
    found = compare_configs({}, {"evaluation": {"a": {"b": 1}}, "evaluations": 1}, {"evaluation.*"})
    assert [(d.key, d.is_allowed) for d in found] == [("evaluation.a.b", True), ("evaluations", False)]
