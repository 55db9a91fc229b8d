"""The same report, settling and queues from PostgreSQL as from a file."""

import dataclasses

import pytest
from tests.preferences.quality.team import Team
from tests.preferences.store.conftest import postgresql as postgresql

from posttrain.preferences.quality.queues import queue_checkpoints, queue_disagreements
from posttrain.preferences.quality.report import quality_report
from posttrain.preferences.quality.settling import settle, settled_items
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.items import get_item


def filled(store):
    team = Team(store)
    items = team.add(12, models=("old", "new", ""), num_responses=3)
    gold = team.add(5, gold=(0, 1, 2), num_responses=3)
    for number, item in enumerate(items):
        team.says(team.anna, item, 0, 1, 2, order=(2, 0, 1), grades=(5, None, 1))
        team.says(
            team.ben, item, *((0, 1, 1) if number % 4 else (2, 1, 0)), unacceptable=(False, False, True)
        )
    for item in gold:
        team.says(team.anna, item, 0, 1, 2)
    team.says(team.cleo, items[0], kind="cannot_rank", size=3, is_flagged=True)
    team.says(team.cleo, items[1], kind="skip", size=3)
    before = team.says(team.rhea, items[4], 0, 1, 2)
    settle(
        store, submission_id="s", item_id=items[4], annotator_id=team.rhea, ranks=None, unacceptable=[False] * 3,
        replaces=before,
    )  # fmt: skip
    return items


def test_as_from_a_file(postgresql, tmp_path, clock):
    reports = []
    for place in (str(tmp_path / "store.db"), postgresql.empty_database("quality")):
        with open_store(place, must_exist=False, now=clock) as store:
            items = filled(store)
            reports.append(dataclasses.replace(quality_report(store), took_seconds=0.0))
            assert settled_items(store) == {items[4]}
            assert queue_disagreements(store).num_queued == 2
            assert get_item(store, items[8]).overlap == 3
            assert queue_checkpoints(store, new=["new"]).num_queued == 2
    assert reports[0] == reports[1]
    assert reports[0].num_settled == 1
    assert reports[0].alpha.num_items == 12
    assert [own.item_id for own in reports[0].to_settle] == [items[8], items[0]]


@pytest.fixture
def clock():
    return lambda: 1_800_000_000.0
