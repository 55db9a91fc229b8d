"""50 people at once and some hundred judgements: none lost, none doubled, whatever is killed.

POSTTRAIN_LOAD_JUDGEMENTS=10000 runs them at the size that docs/people-rank.md speaks of, some minutes each; the
suite's own number keeps it short.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.postgresql_server import PostgresqlServer, postgresql_folder, running_postgresql
from tests.web.load.server_process import ServerProcess
from tests.web.load.simulated_annotators import Acknowledged, SimulatedAnnotator, sessions_of_new_people

from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import add_items, iterate_items
from posttrain.preferences.store.judgements import all_judgements, current_judgements
from posttrain.preferences.store.progress import store_progress
from posttrain.preferences.store.records import NewItem
from posttrain.preferences.store.settings import change_queue_settings

NUM_PEOPLE = 50
OVERLAP = 2
NUM_JUDGEMENTS = int(os.environ.get("POSTTRAIN_LOAD_JUDGEMENTS", "400"))
NO_POSTGRESQL = (
    "PostgreSQL is not installed (Debian: apt-get install postgresql), so its load tests are skipped"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    if postgresql_folder() is None:
        pytest.skip(NO_POSTGRESQL)
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    return request.getfixturevalue("postgresql").empty_database("load")


@pytest.fixture
def store(where) -> Iterator[Store]:
    with open_store(where, must_exist=False) as opened:
        items = (
            NewItem(f"q/{number}", f"What is {number}?", ("one", "two", "three"))
            for number in range(NUM_JUDGEMENTS // OVERLAP)
        )
        add_items(opened, items)
        change_queue_settings(opened, overlap=OVERLAP)
        yield opened


@pytest.fixture
def servers(where) -> Iterator[list[ServerProcess]]:
    started: list[ServerProcess] = []
    yield started
    for server in started:
        server.stop()


def let_them_rank(
    store: Store, servers: list[ServerProcess], kill_at: tuple[float, ...] = ()
) -> Acknowledged:
    """Everybody ranks until nothing is left; the first server is killed when these shares are done."""
    acknowledged = Acknowledged()
    secrets = sessions_of_new_people(store, [f"person{number}" for number in range(NUM_PEOPLE)])
    people = [
        SimulatedAnnotator(servers[number % len(servers)].port, secret, number, acknowledged)
        for number, secret in enumerate(secrets)
    ]
    for person in people:
        person.start()
    for share in kill_at:
        while len(acknowledged.judgements) < share * NUM_JUDGEMENTS and any(one.is_alive() for one in people):
            time.sleep(0.01)
        num_before = len(acknowledged.judgements)
        assert share * NUM_JUDGEMENTS <= num_before < NUM_JUDGEMENTS, "killed midway"
        servers[0].kill_and_start_again()
    for person in people:
        person.join()
    failures = [person.failure for person in people if person.failure is not None]
    assert failures == []
    return acknowledged


def recount(store: Store, acknowledged: Acknowledged) -> None:
    """What is in the store is what was acknowledged: each once, and each item by as many people as it wanted."""
    stored = {one.submission_id: one.judgement_id for one in all_judgements(store)}
    assert len(acknowledged.judgements) == NUM_JUDGEMENTS
    assert stored == acknowledged.judgements
    current = list(current_judgements(store))
    assert len({(one.item_id, one.annotator_id) for one in current}) == len(current) == NUM_JUDGEMENTS
    assert set(Counter(one.item_id for one in current).values()) == {OVERLAP}
    assert all(item.num_judges == OVERLAP and not item.is_open for item in iterate_items(store))
    progress = store_progress(store)
    assert (progress.num_judged, progress.num_over_overlap) == (NUM_JUDGEMENTS, 0)
    assert progress.num_leased == 0


def test_50_people_at_one_server(store, where, servers):
    servers.append(ServerProcess(where))
    recount(store, let_them_rank(store, servers))


def test_50_people_at_a_server_that_is_killed_three_times(store, where, servers):
    servers.append(ServerProcess(where))
    recount(store, let_them_rank(store, servers, kill_at=(0.2, 0.5, 0.8)))


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_50_people_at_two_servers_of_which_one_is_killed(store, where, servers):
    servers += [ServerProcess(where), ServerProcess(where)]
    recount(store, let_them_rank(store, servers, kill_at=(0.5,)))
