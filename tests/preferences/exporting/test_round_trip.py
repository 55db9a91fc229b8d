"""What is exported as rankings makes the same store: the same bytes come out of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from posttrain.preferences.exporting.export_file import export_store
from posttrain.preferences.importing.import_file import ImportSettings, import_files
from posttrain.preferences.importing.imported import without_gaps
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.guidelines import publish_guidelines
from posttrain.preferences.store.items import add_items, iterate_items
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.records import NewItem, Submission
from posttrain.preferences.store.settings import change_queue_settings

ANY_TEXT = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("\ud800\0\n\"'"), min_size=1, max_size=12
)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
SPOKEN = ANY_TEXT.filter(str.strip)
PROMPT = SPOKEN | st.builds(
    lambda a, b: ({"role": "system", "content": a}, {"role": "user", "content": b}), SPOKEN, SPOKEN
)
COLUMNS = st.dictionaries(
    TEXT, st.none() | st.integers(-5, 5) | TEXT | st.lists(st.booleans(), max_size=2), max_size=2
)
# Shrinking would take minutes: every example makes two stores.
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}
SECONDS = st.floats(0, 1e6, allow_nan=False)


@st.composite
def stores(draw: Any, text: st.SearchStrategy[str] = ANY_TEXT, prompt: Any = PROMPT) -> Any:
    """Items and, person after person, chains of judgements of them."""
    items, judgements = [], []
    for number in range(draw(st.integers(1, 3))):
        responses = tuple(draw(st.lists(text, min_size=2, max_size=4, unique=True)))
        size = len(responses)
        ranks = st.lists(st.integers(0, size - 1), min_size=size, max_size=size).map(without_gaps)
        items.append(
            NewItem(
                external_id=f"q/{number}",
                prompt=draw(prompt),
                responses=responses,
                finish_reasons=draw(st.just(()) | st.lists(st.sampled_from(["eos", "stop", "length", ""]), min_size=size, max_size=size).map(tuple)),
                models=draw(st.just(()) | st.lists(TEXT, min_size=size, max_size=size).map(tuple)),
                columns=draw(COLUMNS),
                gold_ranks=draw(st.none() | ranks),
                overlap=draw(st.none() | st.integers(1, 9)),
            )
        )  # fmt: skip
        for person in draw(st.lists(st.sampled_from(["anna", "bo", "chris o'hara"]), unique=True)):
            for _ in range(draw(st.integers(1, 3))):
                kind = draw(st.sampled_from(["ranking", "cannot_rank", "skip"]))
                per_response = {"min_size": size, "max_size": size}
                own = {
                    "kind": kind,
                    "ranks": draw(ranks) if kind == "ranking" else None,
                    "order_shown": tuple(draw(st.permutations(range(size)))),
                    "unacceptable": tuple(draw(st.lists(st.booleans(), **per_response))),
                    "grades": tuple(draw(st.lists(st.none() | st.integers(1, 5), **per_response))),
                    "tags": tuple(draw(st.lists(st.lists(text, max_size=2).map(tuple), **per_response))),
                    "note": draw(st.just("") | text),
                    "is_flagged": draw(st.booleans()),
                    "settles": draw(st.booleans()),
                    "seconds": draw(SECONDS),
                    "submitted_at": draw(SECONDS),
                    "guideline_version": draw(st.none() | st.integers(1, 3)),
                }
                judgements.append((number, person, own))
    return items, judgements


def made(folder: Path, items: Any, judgements: Any) -> Path:
    where = folder / "first.db"
    with open_store(where, must_exist=False) as store:
        publish_guidelines(store, "Be kind \ud800.", "anna")
        publish_guidelines(store, "Be exact.", "bo")
        publish_guidelines(store, "Be kind \ud800.", "anna")
        add_items(store, items)
        people: dict[str, int] = {}
        newest: dict[tuple[int, str], int] = {}
        for count, (number, person, own) in enumerate(judgements):
            if person not in people:
                people[person] = add_annotator(store, person, "annotator", by=Actor()).annotator_id
            submission = Submission(
                submission_id=f"s-{count}",
                item_id=number + 1,
                annotator_id=people[person],
                replaces=newest.get((number, person)),
                **own,
            )
            newest[number, person] = submit(store, submission, needs_lease=False).judgement_id
    return where


def exported(where: Path, name: str) -> Path:
    path = where.with_name(name)
    with open_store(where) as store:
        export_store(store, path, "rankings")
    return path


def imported(file: Path) -> Path:
    where = file.with_suffix(".db")
    with open_store(where, must_exist=False) as store:
        report = import_files(store, [file], ImportSettings())
        assert report.left_out == ()
    return where


@settings(**SETTINGS, max_examples=10)
@given(stores().filter(lambda made: made[1]))
def test_jsonl_gives_the_same_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        first = exported(made(Path(folder), *content), "first.jsonl")
        second = exported(imported(first), "second.jsonl")
        assert second.read_bytes() == first.read_bytes()


@settings(**SETTINGS, max_examples=5)
@given(
    stores(
        TEXT,
        TEXT.filter(str.strip)
        | st.builds(lambda a: ({"role": "user", "content": a},), TEXT.filter(str.strip)),
    ).filter(lambda made: made[1])
)
def test_parquet_gives_the_same_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        where = made(Path(folder), *content)
        first = exported(where, "first.jsonl")
        second = exported(imported(exported(where, "table.parquet")), "second.jsonl")
        assert second.read_bytes() == first.read_bytes()


def test_an_item_keeps_how_many_are_to_judge_it(tmp_path):
    """Its own number, not the one that the store's setting gives it."""
    wanted = (3, None)
    items = [NewItem(f"q/{overlap}", "?", ("a", "b"), ("eos", ""), overlap=overlap) for overlap in wanted]
    said = {"kind": "ranking", "ranks": (0, 1), "order_shown": (0, 1), "submitted_at": 5.0}
    where = made(tmp_path, items, [(0, "anna", said), (1, "anna", said)])
    for name in ("one.jsonl", "two.parquet"):
        with open_store(imported(exported(where, name))) as store:
            change_queue_settings(store, overlap=2)
            found = list(iterate_items(store))
            assert [item.own_overlap for item in found] == [*wanted]
            assert [item.overlap for item in found] == [3, 2]
            assert [item.is_open for item in found] == [True, True]
            assert found[0].finish_reasons == ("eos", "")
