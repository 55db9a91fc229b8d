"""How long the next item and a submission take with 100,000 items in the store, in it and over HTTP. JSON to stdout.

    python bench/preference_store.py [--items 100000] [--judged 50000] [--rounds 500] [--only sqlite|postgresql]

`judged` items were judged before by the person who is timed ("experienced"), and none by another ("new"). One person at
a time. PostgreSQL is one of our own, started from the system's binaries; it is left out where there is none.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.postgresql_server import postgresql_folder, running_postgresql
from tests.web.load.server_process import ServerProcess
from tests.web.load.simulated_annotators import Acknowledged, SimulatedAnnotator, sessions_of_new_people

from posttrain.preferences.store.bulk_submission import submit_first_judgements
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import submit
from posttrain.preferences.store.queue import next_item
from posttrain.preferences.store.records import NewItem, Submission
from posttrain.preferences.store.settings import change_queue_settings

NUM_RESPONSES = 4
RESPONSES = tuple(f"Response {letter}. " * 20 for letter in "ABCD")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--judged", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    report: dict[str, Any] = {
        "items": arguments.items,
        "judged_before": arguments.judged,
        "rounds": arguments.rounds,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "milliseconds": {},
    }
    for kind, places in {"sqlite": sqlite_place, "postgresql": postgresql_place}.items():
        if arguments.only in (None, kind) and (kind == "sqlite" or postgresql_folder()):
            with places() as where, open_store(where, must_exist=False) as store:
                report["milliseconds"][kind] = measure(store, where, arguments)
    print(json.dumps(report, indent=2))


@contextmanager
def sqlite_place() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "store.db")


@contextmanager
def postgresql_place() -> Iterator[str]:
    with running_postgresql() as server:
        yield server.empty_database("bench")


def measure(store: Store, where: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Percentiles by what was done, by whom and how."""
    say(f"{store.where}: {arguments.items} items")
    add_items(
        store,
        (
            NewItem(f"q/{number}", f"What is **{number}**? " * 5, RESPONSES)
            for number in range(arguments.items)
        ),
    )
    change_queue_settings(store, overlap=5)  # nothing closes: who has judged much has to get past it
    # Persons 1 and 2 work in the store, 3 and 4 over HTTP; 1 and 3 have judged much before.
    secrets = sessions_of_new_people(store, ["experienced", "new", "experienced-http", "new-http"])
    for person in (1, 3):
        say(f"person {person} judges {arguments.judged}")
        submit_first_judgements(store, [ranking(number, person) for number in range(1, arguments.judged + 1)])
    found: dict[str, Any] = {}
    for person, name in ((1, "experienced"), (2, "new")):
        found[f"store, {name}"] = in_the_store(store, person, arguments.rounds)
    server = ServerProcess(where)
    try:
        for seed, (secret, name) in enumerate(zip(secrets[2:], ("experienced", "new"), strict=True)):
            found[f"http, {name}"] = over_http(server.port, secret, seed, arguments.rounds)
    finally:
        server.stop()
    return found


def in_the_store(store: Store, person: int, rounds: int) -> dict[str, Any]:
    next_seconds: list[float] = []
    submit_seconds: list[float] = []
    for _ in range(rounds):
        assignment = timed(next_seconds, lambda: next_item(store, person))
        assert assignment is not None
        submission = ranking(assignment.item.item_id, person)
        timed(submit_seconds, lambda one=submission: submit(store, one))  # type: ignore[misc]
    return {"next": percentiles(next_seconds), "submit": percentiles(submit_seconds)}


def over_http(port: int, secret: str, seed: int, rounds: int) -> dict[str, Any]:
    seen = Acknowledged()
    person = SimulatedAnnotator(port, secret, seed, seen, most=rounds, asks_apart=True)
    person.start()
    person.join()
    if person.failure is not None:
        raise person.failure
    return {"next": percentiles(seen.next_seconds), "submit": percentiles(seen.submit_seconds)}


def ranking(item_id: int, person: int) -> Submission:
    order = tuple(range(NUM_RESPONSES))
    return Submission(str(uuid.uuid4()), item_id, person, "ranking", order, ranks=(0, 1, 1, 2))


def timed(seconds: list[float], work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - start)
    return result


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds: the median, the 99th percentile, the first request (which finds its place) and the slowest."""
    ordered = sorted(seconds)
    at = {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)]}
    return {
        name: round(1000 * value, 2)
        for name, value in {**at, "first": seconds[0], "max": ordered[-1]}.items()
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
