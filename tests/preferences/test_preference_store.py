"""Preferences from Python: make, add, wait, read, write."""

from __future__ import annotations

import json

import pytest

import posttrain
from posttrain import PreferenceStore
from posttrain.errors import DataError
from posttrain.preferences import SampledPrompt
from posttrain.preferences.importing.import_file import ImportSettings
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.records import Submission


def rank(
    store: PreferenceStore, number: int, *, kind: str = "ranking", ranks=(1, 0), name: str = "anna"
) -> None:
    """What the page does when somebody submits."""
    from posttrain.preferences.store.people import list_annotators

    inner = store._store
    known = {person.name: person.annotator_id for person in list_annotators(inner)}
    person = known.get(name) or add_annotator(inner, name, "annotator", by=Actor()).annotator_id
    submission = Submission(
        f"s-{number}-{name}", number, person, kind, (0, 1), ranks if kind == "ranking" else None
    )
    submit(inner, submission, needs_lease=False)


def test_from_nothing_to_pairs(tmp_path):
    with PreferenceStore.create(tmp_path / "store.db") as store:
        assert store.add("What is 3 + 4?", ["7", "8"], models=["a", "b"], columns={"answer": "7"})
        assert not store.add("What is 3 + 4?", ["7", "8"], models=["a", "b"], columns={"answer": "7"})
        assert store.add(
            [{"role": "user", "content": "hi"}], ["hello", "bye"], id="greeting", gold_ranks=[0, 1]
        )
        with pytest.raises(TimeoutError, match=r"0 of 2 judgements.*posttrain rank"):
            store.wait_for(2, timeout=0.02, poll_seconds=0.01)
        naps = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            rank(store, len(naps))

        assert store.wait_for(num_judgements=2, sleep=sleep) == 2
        assert naps == [1.0, 1.0]
        rank(store, 1, kind="skip", name="bo")
        assert store.num_judgements() == 2, "a skip is no judgement"
        assert store.progress().num_gold == 1
        rankings = store.rankings()
        assert [(own.annotator, own.responses, own.ranks) for own in rankings] == [
            ("anna", ("7", "8"), (1, 0)),
            ("anna", ("hello", "bye"), (1, 0)),
        ]
        report = store.export(tmp_path / "pairs.jsonl", format="pairs")
        assert report.num_rows == 2
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "8"}]
    with PreferenceStore.open(tmp_path / "store.db") as again:
        assert again.num_judgements() == 2
    with PreferenceStore.create(tmp_path / "other.db") as other:
        with PreferenceStore.open(tmp_path / "store.db") as first:
            first.export(tmp_path / "all.jsonl")
        assert other.import_files(tmp_path / "all.jsonl", settings=ImportSettings()).num_judgements_added == 3


def test_samples_go_in_once_and_those_with_nothing_to_rank_are_counted(tmp_path):
    samples = [
        SampledPrompt("q/1", "p", ("a", "b", "a"), ("eos", "length", "eos"), 3, "model", {"answer": "a"}),
        SampledPrompt("q/2", "p", ("a", "a"), ("eos", "eos"), 2),
    ]
    with PreferenceStore.create(tmp_path / "store.db") as store:
        first, again = store.add_samples(samples), store.add_samples(samples)
        assert (first.num_added, first.num_nothing_to_rank) == (1, 1)
        assert (again.num_added, again.num_known) == (0, 1)
        other = [SampledPrompt("q/1", "p", ("a", "c"), ("eos", "eos"), 2)]
        with pytest.raises(DataError, match="other content"):
            store.add_samples(other)
        assert store.add_samples(other, prefix="second/").num_added == 1


@pytest.mark.parametrize(
    ("prompt", "responses", "more", "reason"),
    [
        ("p", ["a"], {}, "one response"),
        ("p", ["a", "a"], {}, "same text"),
        ("p", [str(n) for n in range(9)], {}, "more than 8"),
        ("p", ["a", "b"], {"gold_ranks": [0, 2]}, "without gaps"),
        ("p", ["a", "b"], {"models": ["m"]}, "1 models"),
        ("p", ["a", "b"], {"columns": {"x": float("nan")}}, "JSON"),
    ],
)
def test_what_cannot_be_ranked_is_refused(tmp_path, prompt, responses, more, reason):
    with PreferenceStore.create(tmp_path / "store.db") as store, pytest.raises(DataError, match=reason):
        store.add(prompt, responses, **more)


def test_a_store_that_is_there_is_not_made_anew_and_one_that_is_not_is_not_opened(tmp_path):
    PreferenceStore.create(tmp_path / "store.db").close()
    with pytest.raises(DataError, match=r"PreferenceStore\.open"):
        PreferenceStore.create(tmp_path / "store.db")
    with pytest.raises(DataError):
        PreferenceStore.open(tmp_path / "missing.db")


def test_it_is_public_and_loaded_when_it_is_used():
    assert "PreferenceStore" in posttrain.__all__
