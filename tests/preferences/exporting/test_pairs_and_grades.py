"""Pairs and grades of a small store, worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from posttrain.data.comparisons import CUT, NO_TEXT, SETTLED, SKIPPED, load_rankings
from posttrain.errors import ConfigError, DataError
from posttrain.preferences.exporting.export_file import export_store
from posttrain.preferences.exporting.training_rankings import training_rankings
from posttrain.preferences.importing.import_file import ImportSettings, import_files
from posttrain.preferences.store.database import Store, open_store

ROWS: list[dict[str, Any]] = [
    {"item": "tie", "prompt": "p", "responses": ["a", "b", "c"], "ranks": [0, 1, 1], "annotator": "anna",
     "grades": [5, 3, None], "unacceptable": [False, False, True]},
    {"item": "tie", "prompt": "p", "responses": ["a", "b", "c"], "ranks": [1, 0, 2], "annotator": "bo"},
    {"item": "cut", "prompt": "q", "responses": ["a", "b", "c"], "ranks": [0, 1, 2], "annotator": "anna",
     "finish_reasons": ["eos", "eos", "length"], "grades": [4, None, 1]},
    {"item": "skip", "prompt": "r", "responses": ["a", "b"], "kind": "skip", "annotator": "anna"},
    {"item": "odd", "prompt": "s", "responses": ["\ud800", "b"], "ranks": [0, 1], "annotator": "anna"},
    {"item": "settled", "prompt": "t", "responses": ["a", "b"], "ranks": [0, 1], "annotator": "anna"},
    {"item": "settled", "prompt": "t", "responses": ["a", "b"], "ranks": [1, 0], "annotator": "bo", "settles": True},
]  # fmt: skip


def filled(folder: Path, rows: list[dict[str, Any]]) -> Store:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = open_store(folder / "store.db", must_exist=False)
    import_files(store, [file], ImportSettings())
    return store


@pytest.fixture
def store(tmp_path):
    with filled(tmp_path, ROWS) as opened:
        yield opened


def rows_of(store: Store, path: Path, *arguments: Any, **more: Any) -> list[dict[str, Any]]:
    export_store(store, path, *arguments, **more)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("ties", "of_anna"),
    [
        ("drop", [("a", "b", 1 / 4), ("a", "c", 1 / 4)]),
        ("soft", [("a", "b", 1 / 6), ("a", "c", 1 / 6), ("b", "c", 1 / 6)]),
        ("both", [("a", "b", 1 / 6), ("a", "c", 1 / 6), ("b", "c", 1 / 12), ("c", "b", 1 / 12)]),
    ],
)
def test_a_prompt_weighs_1_however_many_rank_it_and_ties_do_as_they_are_told(store, tmp_path, ties, of_anna):
    rows = rows_of(store, tmp_path / "p.jsonl", "pairs", ties=ties)
    found = [
        (r["chosen"], r["rejected"], r["weight"])
        for r in rows
        if r["prompt"] == "p" and r["annotator"] == "anna"
    ]
    assert [own[:2] for own in found] == [own[:2] for own in of_anna]
    assert [own[2] for own in found] == pytest.approx([own[2] for own in of_anna])
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["prompt"]] = totals.get(row["prompt"], 0.0) + row["weight"]
    assert totals == pytest.approx({"p": 1.0, "q": 1.0, "t": 1.0})
    if ties == "soft":
        assert [
            row["chosen_probability"] for row in rows if (row["chosen"], row["rejected"]) == ("b", "c")
        ] == [0.5, 1.0]
    # What was settled counts alone; the cut response is in no pair.
    assert [(r["chosen"], r["rejected"]) for r in rows if r["prompt"] == "t"] == [("b", "a")]
    assert [(r["chosen"], r["rejected"]) for r in rows if r["prompt"] == "q"] == [("a", "b")]
    assert len(load_rankings(tmp_path / "p.jsonl").rankings) == len(rows)


def test_what_is_left_out_is_counted(store, tmp_path):
    report = export_store(store, tmp_path / "p.jsonl", "pairs")
    assert {own.reason: own.count for own in report.left_out} == {CUT: 1, SKIPPED: 1, NO_TEXT: 1, SETTLED: 1}
    assert {own.reason for own in training_rankings(store).dropped} == {CUT, SKIPPED, NO_TEXT, SETTLED}
    kept = rows_of(store, tmp_path / "k.jsonl", "pairs", cut="keep")
    assert sum(row["prompt"] == "q" for row in kept) == 3


def test_a_reviewer_who_skips_settles_nothing(tmp_path):
    skip = {"item": "tie", "prompt": "p", "responses": ["a", "b", "c"], "kind": "skip", "annotator": "rita"}
    with filled(tmp_path, [*ROWS[:2], {**skip, "settles": True}]) as store:
        assert {row["annotator"] for row in rows_of(store, tmp_path / "p.jsonl", "pairs")} == {"anna", "bo"}
        assert {row["annotator"] for row in rows_of(store, tmp_path / "g.jsonl", "grades")} == {"anna"}
        assert len(training_rankings(store).rankings) == 2


def test_messages_in_one_row_are_messages_in_all(tmp_path):
    rows = [*ROWS[:1], {**ROWS[1], "item": "chat", "prompt": [{"role": "user", "content": "p"}]}]
    with filled(tmp_path, rows) as store:
        found = rows_of(store, tmp_path / "p.jsonl", "pairs")
    assert {json.dumps(row["prompt"]) for row in found} == {json.dumps([{"role": "user", "content": "p"}])}
    assert found[0]["chosen"] == [{"role": "assistant", "content": "a"}]
    assert sum(row["weight"] for row in found) == pytest.approx(1.0), (
        "as text and as a message it is one prompt"
    )


def test_grades_have_labels_and_marks_beat_them(store, tmp_path):
    rows = rows_of(store, tmp_path / "g.jsonl", "grades")
    assert [(r["completion"], r["label"], r["grade"], r["is_unacceptable"], r["weight"]) for r in rows] == [
        ("a", True, 5, False, pytest.approx(1 / 3)),
        ("b", False, 3, False, pytest.approx(1 / 3)),
        ("c", False, None, True, pytest.approx(1 / 3)),
        ("a", True, 4, False, 1.0),
    ]
    strict = rows_of(store, tmp_path / "s.jsonl", "grades", good_from=5, cut="keep")
    assert [row["label"] for row in strict] == [True, False, False, False, False]


@pytest.mark.parametrize("format", ["pairs", "grades"])
def test_parquet_holds_the_same_rows(store, tmp_path, format):
    import pyarrow.parquet

    lines = rows_of(store, tmp_path / "r.jsonl", format)
    export_store(store, tmp_path / "r.parquet", format)
    assert pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist() == lines


def test_parquet_says_that_it_cannot_hold_half_a_surrogate_pair(store, tmp_path):
    for name in ("r.parquet", "folder"):
        if name == "folder":
            pytest.importorskip("datasets", reason="the library datasets is not installed")
        with pytest.raises(
            DataError, match=rf"^{re.escape(name)} cannot hold .*\.jsonl, which holds any text"
        ):
            export_store(store, tmp_path / name, "rankings")
    assert not (tmp_path / "folder").exists()
    assert not list(tmp_path.glob("*.parquet")) + list(tmp_path.glob(".*"))


def test_places_that_cannot_be_written(store, tmp_path, monkeypatch):
    (tmp_path / "there.jsonl").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as where datasets is not installed
    for name, reason in (
        ("there.jsonl", "exists already"),
        ("a.csv", "ends with .jsonl"),
        ("a", "pip install datasets"),
    ):
        with pytest.raises(ConfigError, match=reason):
            export_store(store, tmp_path / name)
    with (
        open_store(tmp_path / "empty.db", must_exist=False) as empty,
        pytest.raises(DataError, match="nobody has judged"),
    ):
        export_store(empty, tmp_path / "e.jsonl")


def test_a_folder_of_datasets(store, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    export_store(store, tmp_path / "folder", "pairs")
    found = datasets.load_from_disk(str(tmp_path / "folder"))
    export_store(store, tmp_path / "p.jsonl", "pairs")
    assert found.to_list() == [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
