"""A store as a small team leaves it: people of different care, three checkpoints, known answers, disagreements."""

from __future__ import annotations

import uuid

import numpy as np
from tests.preferences.quality.simulated_people import dense_ranks

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.judgements import submit_all
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.records import NewItem, Submission

QUALITY = {"base": -0.7, "sft": 0.2, "ppo step 400": 0.8}
# Name -> noise, pull towards cards shown first, decimals (few make ties), seconds at an item.
PEOPLE = {
    "anna": (0.5, 0.0, 1, 42),
    "björn": (0.6, 0.0, 1, 35),
    "chen": (0.6, 0.0, 0, 51),
    "dara": (0.9, 0.9, 1, 30),
    "emil": (3.0, 0.0, 1, 8),
}
GOLD_EVERY = 12

PROMPTS = (
    "Explain to a ten-year-old why the sky is blue.",
    "My flight was cancelled. Write a short, polite message that asks for the money back.",
    "What is the difference between a list and a tuple in Python?",
    "Suggest three dinners for a week with little time and no oven.",
)
ANSWERS = (
    "Sunlight looks white, but it is made of **many colours**. Air scatters blue light much more than red light, so "
    "blue reaches your eyes from every direction.",
    "The sky is blue because it mirrors the sea.",
    "Air. Blue light has a *short* wave, and short waves bounce off the tiny parts of the air more often.",
)


def fill(store: Store, *, num_items: int = 60, seed: int = 0, per_day: int = 40) -> dict[str, int]:
    """Items ranked by three people each; name -> annotator id. The same every time but for submission ids."""
    rng = np.random.default_rng(seed)
    people = {name: add_annotator(store, name, "annotator", by=Actor()).annotator_id for name in PEOPLE}
    names = list(QUALITY)
    new, truth = [], []
    for number in range(1, num_items + 1):
        models = rng.permutation(names).tolist()
        quality = np.array([QUALITY[model] for model in models]) + rng.normal(size=len(models))
        is_gold = number % GOLD_EVERY == 0
        if is_gold:
            quality = 4.0 * np.array([QUALITY[model] for model in models])
        truth.append(quality)
        new.append(
            NewItem(
                f"help/{number:03}",
                PROMPTS[number % len(PROMPTS)],
                tuple(
                    f"{ANSWERS[names.index(model)]} ({number}.{place})" for place, model in enumerate(models)
                ),
                finish_reasons=("eos", "eos", "length"),
                models=tuple(models),
                gold_ranks=dense_ranks(quality.tolist()) if is_gold else None,
                overlap=3,
            )
        )
    add_items(store, new, source="example")
    submit_all(store, _submissions(rng, store.now(), people, truth, per_day))
    return people


def _submissions(rng, now, people, truth, per_day):
    total = sum(len(PEOPLE) if number % GOLD_EVERY == 0 else 3 for number in range(1, len(truth) + 1))
    count = 0
    for number, quality in enumerate(truth, start=1):
        judges = (
            list(PEOPLE) if number % GOLD_EVERY == 0 else rng.choice(list(PEOPLE), 3, replace=False).tolist()
        )
        for name in judges:
            noise, pull, decimals, seconds = PEOPLE[name]
            order = rng.permutation(len(quality))
            seen = quality + noise * rng.normal(size=len(quality))
            seen[order] -= pull * np.arange(len(quality))
            count += 1
            yield Submission(
                submission_id=str(uuid.UUID(bytes=rng.bytes(16))),
                item_id=number,
                annotator_id=people[name],
                kind="ranking",
                order_shown=tuple(order.tolist()),
                ranks=dense_ranks(np.round(seen, decimals).tolist()),
                unacceptable=tuple((seen < -2.2).tolist()),
                note="The last one is cut off." if number == 7 else "",
                is_flagged=number in (7, 31) and name == judges[0],
                seconds=float(seconds * rng.lognormal(0, 0.5)),
                submitted_at=now - 86_400 * (total - count) / per_day,
            )
