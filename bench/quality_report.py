"""How long the quality page takes at many judgements: SQLite, one core, reading included.

    .venv/bin/python bench/quality_report.py [--judgements 100000] [--responses 4]

Seconds of this process, not of the clock, so that neighbours on the machine count less: the report computed anew, its
page computed anew, and the page from the kept report.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import insert
from starlette.testclient import TestClient

from posttrain.preferences.quality.report import quality_report
from posttrain.preferences.store import schema
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.people import add_annotator, person_at_this_machine
from posttrain.preferences.store.records import NewItem
from posttrain.web.access import Access
from posttrain.web.app import create_app

PEOPLE, JUDGES, REPEATS = 50, 2, 3


def main() -> None:
    """Prints the seconds as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--judgements", type=int, default=100_000)
    parser.add_argument("--responses", type=int, default=4)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "s.db", must_exist=False) as store,
    ):
        fill(store, asked.judgements // JUDGES, asked.responses)
        checkpoints: dict[int, tuple[str, ...]] = {}
        first = seconds_of(lambda: quality_report(store, checkpoints=checkpoints))
        later = [seconds_of(lambda: quality_report(store, checkpoints=checkpoints)) for _ in range(REPEATS)]
        person_at_this_machine(store, "bench", by=Actor())
        app = create_app(store, access=Access.local(token="t", annotator="bench"))
        client = TestClient(app, base_url="http://127.0.0.1:8042")
        client.get("/open?token=t")
        new_page = seconds_of(lambda: client.get("/quality").raise_for_status())
        kept = [seconds_of(lambda: client.get("/quality").raise_for_status()) for _ in range(20)]
    found = {
        "judgements": asked.judgements,
        "responses": asked.responses,
        "first_report_s": first,
        "report_s": statistics.median(later),
        "page_with_report_s": new_page,
        "page_from_kept_report_s": statistics.median(kept),
    }
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


def seconds_of(work: Callable[[], object]) -> float:
    """Processor seconds of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fill(store: Store, num_items: int, size: int) -> None:
    """Items with judgements of two people each, written at once instead of one by one."""
    rng = np.random.default_rng(0)
    people = [
        add_annotator(store, f"p{number}", "annotator", by=Actor()).annotator_id for number in range(PEOPLE)
    ]
    models = tuple(f"checkpoint {place}" for place in range(size))
    texts = tuple(f"answer {place}" for place in range(size))
    add_items(store, (NewItem(f"q/{n}", f"Question {n}?", texts, models=models) for n in range(num_items)))
    judgements, current = [], []
    for item in range(1, num_items + 1):
        quality = rng.normal(size=size)
        for annotator in rng.choice(people, JUDGES, replace=False).tolist():
            seen = np.round(quality + rng.normal(size=size), 1)
            judgements.append(
                {
                    "judgement_id": len(judgements) + 1,
                    "submission_id": f"s{len(judgements)}",
                    "item_id": item,
                    "annotator_id": annotator,
                    "kind": "ranking",
                    "ranks": np.unique(-seen, return_inverse=True)[1].tolist(),
                    "unacceptable": (seen < -2).tolist(),
                    "grades": [None] * size,
                    "tags": [[]] * size,
                    "note": "",
                    "is_flagged": False,
                    "settles": False,
                    "order_shown": rng.permutation(size).tolist(),
                    "seconds": float(rng.lognormal(3)),
                    "submitted_at": 1.8e9 + len(judgements),
                }
            )
            current.append(
                {key: judgements[-1][key] for key in ("judgement_id", "item_id", "annotator_id", "kind")}
            )
    with store.writing() as connection:
        connection.execute(insert(schema.judgements), judgements)
        connection.execute(insert(schema.current_judgements), current)


if __name__ == "__main__":
    main()
