"""Files into a store: all or nothing, twice is once, and what is left out is counted."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from posttrain.errors import ConfigError, DataError
from posttrain.preferences.importing.import_file import ImportReport, ImportSettings, import_files
from posttrain.preferences.importing.judgement_import import HAS_ANOTHER
from posttrain.preferences.store.audit import Actor, audit_entries
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import iterate_items
from posttrain.preferences.store.judgements import all_judgements, current_judgements
from posttrain.preferences.store.people import add_annotator, list_annotators
from posttrain.preferences.store.queue import next_item


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "store.db", must_exist=False) as opened:
        yield opened


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def taken(store: Store, *paths: Path, **settings: Any) -> ImportReport:
    return import_files(store, paths, ImportSettings(**settings))


def ranking(number: int, annotator: str = "anna", **more: Any) -> dict[str, Any]:
    return {
        "id": f"q/{number}/{annotator}",
        "prompt": f"What is {number}?",
        "responses": ["one", "two"],
        "ranks": [1, 0],
        "annotator": annotator,
        **more,
    }


def test_items_and_judgements_come_in_and_twice_is_once(store, tmp_path):
    file = write(tmp_path / "r.jsonl", *(ranking(n, who) for n in range(3) for who in ("anna", "bo")))
    first = taken(store, file)
    assert (first.format, first.num_records, first.num_items_added, first.num_judgements_added) == (
        "rankings",
        6,
        3,
        6,
    )
    assert first.new_annotators == ("anna", "bo")
    again = taken(store, file)
    assert (again.num_items_added, again.num_items_known) == (0, 6)
    assert (again.num_judgements_added, again.num_judgements_known) == (0, 6)
    assert again.new_annotators == ()
    assert [item.num_judges for item in iterate_items(store)] == [2, 2, 2]
    assert {own.ranks for own in current_judgements(store)} == {(1, 0)}
    assert all(not own.order_shown for own in current_judgements(store)), "nobody knows how cards stood"
    assert [entry.action for entry in audit_entries(store, action="imported")] == ["imported"] * 2


def test_imported_people_cannot_sign_in_and_known_ones_are_found_in_any_case(store, tmp_path):
    anna = add_annotator(store, "Anna", "reviewer", by=Actor())
    taken(store, write(tmp_path / "r.jsonl", ranking(1), ranking(2, "bo")))
    people = list_annotators(store)
    assert [(p.name, p.role, p.has_password) for p in people] == [
        ("Anna", "reviewer", False),
        ("bo", "annotator", False),
    ]
    assert {own.annotator_id for own in current_judgements(store)} == {
        anna.annotator_id,
        people[1].annotator_id,
    }


def test_one_bad_line_stores_nothing_and_is_named(store, tmp_path):
    file = write(
        tmp_path / "r.jsonl", ranking(1), "{broken", ranking(3, ranks=[0]), {**ranking(4), "id": "q/1/anna"}
    )
    with pytest.raises(DataError) as error:
        taken(store, file)
    lines = str(error.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}, line {n}" for n in (2, 3, 4)]
    assert list(iterate_items(store)) == []
    array = tmp_path / "r.json"
    array.write_text(json.dumps([ranking(1), ranking(2, ranks="x")]))
    with pytest.raises(DataError, match=f"{array}, record 2: the column 'ranks'"):
        taken(store, array)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.jsonl", None, "does not exist"),
        ("empty.jsonl", b"", "is empty"),
        ("list.json", b"[]", "is empty"),
        ("table.csv", b"a,b", "neither .jsonl nor .parquet"),
        ("odd.tar.gz", b"", "none of .jsonl.gz"),
        ("cut.jsonl.gz", gzip.compress(b'{"prompt": "q"}' * 50, mtime=0)[:30], "unpack"),
        ("no.jsonl.gz", b"no gzip at all", "unpack"),
        ("words.jsonl", b'{"text": "x"}\n', "no known format"),
        ("bytes.jsonl", b'{"prompt": "\xff"}\n', "line 1: not UTF-8"),
        ("table.parquet", b"PAR1", "cannot be read as Parquet"),
        ("names.jsonl", json.dumps(ranking(1, "a/b")).encode(), "cannot be an annotator's name"),
        ("nul.jsonl", json.dumps({**ranking(1), "item": "a\0b"}).encode(), "NUL"),
    ],
)
def test_files_that_cannot_be_used(store, tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        taken(store, path)


def test_what_has_nothing_to_rank_is_counted(store, tmp_path):
    rows = [
        {"id": "ok", "prompt": "q", "responses": ["a", "b", "a"]},
        {"id": "single", "prompt": "q", "responses": ["a"]},
        {"id": "equal", "prompt": "q", "responses": ["a", "a"]},
        {"id": "many", "prompt": "q", "responses": [str(n) for n in range(9)]},
    ]
    report = taken(store, write(tmp_path / "s.jsonl", *rows))
    assert [(item.external_id, item.responses) for item in iterate_items(store)] == [("ok", ("a", "b"))]
    assert sorted(dropped.count for dropped in report.left_out) == [1, 1, 1]


def test_a_judgement_in_the_store_stays(store, tmp_path):
    taken(store, write(tmp_path / "a.jsonl", ranking(1)))
    report = taken(store, write(tmp_path / "b.jsonl", ranking(1, ranks=[0, 1])))
    assert [(dropped.reason, dropped.count) for dropped in report.left_out] == [(HAS_ANOTHER, 1)]
    assert [own.ranks for own in current_judgements(store)] == [(1, 0)]


def test_other_content_under_a_known_name_is_refused_and_a_prefix_helps(store, tmp_path):
    taken(store, write(tmp_path / "a.jsonl", {"id": "x", "prompt": "q", "responses": ["a", "b"]}))
    other = write(tmp_path / "b.jsonl", {"id": "x", "prompt": "q", "responses": ["a", "c"]})
    with pytest.raises(DataError, match="'x' is there already with other content"):
        taken(store, other)
    taken(store, other, prefix="second/")
    assert [item.external_id for item in iterate_items(store)] == ["x", "second/x"]


def test_gold_items_check_people_and_left_out_judgements_are_made_anew(store, tmp_path):
    file = write(
        tmp_path / "r.jsonl",
        ranking(1),
        {"id": "plain", "prompt": "p", "responses": ["a", "b"]} | {"ranks": [0, 0]},
    )
    taken(store, file, judgements="gold")
    assert [item.gold_ranks for item in iterate_items(store)] == [(1, 0), (0, 0)]
    assert list(all_judgements(store)) == []
    with open_store(tmp_path / "anew.db", must_exist=False) as anew:
        taken(anew, file, judgements="leave_out")
        person = add_annotator(anew, "anna", "annotator", by=Actor())
        assert next_item(anew, person.annotator_id) is not None


def test_checkpoints_are_put_side_by_side(store, tmp_path):
    def samples(name: str, *texts: str) -> Path:
        rows = [
            {"id": f"q/{n}", "prompt": f"p{n}", "responses": [f"{t} {n}" for t in texts], "model": name}
            for n in range(2)
        ]
        return write(tmp_path / f"{name}.jsonl", *rows)

    old, new = samples("old", "a", "b"), samples("new", "c", "d")
    report = taken(store, old, new, join=True)
    assert report.num_items_added == 2
    for item in iterate_items(store):
        assert item.models == ("old", "old", "new", "new")
        assert len(item.responses) == 4
    with pytest.raises(ConfigError, match="Name more files"):
        taken(store, old, join=True)


def test_packed_lists_halves_of_surrogates_and_a_byte_order_mark(store, tmp_path):
    path = tmp_path / "l.json.gz"
    rows = [
        {"id": f"q/{n}", "prompt": "p", "responses": ["half \ud800", "NUL \0", f"é {n}"]} for n in range(3)
    ]
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(rows).encode()))
    assert taken(store, path).num_items_added == 3
    assert next(iterate_items(store)).responses == ("half \ud800", "NUL \0", "é 0")


@pytest.mark.slow
def test_many_lines_need_no_more_memory_than_few(store, tmp_path):
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        for number in range(5000):
            file.write(json.dumps(ranking(number, responses=["x" * 1000, "y" * 1000])) + "\n")
    tracemalloc.start()
    report = taken(store, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.num_judgements_added == 5000
    assert peak < 40e6 < 3 * path.stat().st_size * 1.5, "batches, not the whole file"
