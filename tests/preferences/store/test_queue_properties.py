"""The queue against a slow twin: any order of asking, judging, skipping, waiting and starting the server again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.preferences.store.conftest import Clock
from tests.preferences.store.examples import add_person, item_of, judgement, new_items

from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.failures import NotAssigned, StaleJudgement
from posttrain.preferences.store.items import add_items, iterate_items
from posttrain.preferences.store.judgements import all_judgements, current_judgements, submit
from posttrain.preferences.store.queue import next_item, release_lease
from posttrain.preferences.store.settings import change_queue_settings
from posttrain.preferences.store.targeting import Placement, place_in_queue

LEASE = 100.0
PEOPLE = st.integers(1, 3)


@dataclass
class TwinItem:
    priority: float = 0.0
    judgements: dict[int, tuple[str, int]] = field(default_factory=dict)  # person -> kind, number
    leases: dict[int, tuple[float, float]] = field(default_factory=dict)  # person -> leased at, expires at
    num_excused: int = 0  # judgements that may exceed the overlap: late ones, corrected skips

    def judges(self):
        return {person for person, (kind, _) in self.judgements.items() if kind != "skip"}

    def has_place(self, person, overlap, now):
        others = {other for other, (_, expires) in self.leases.items() if expires > now and other != person}
        return len(self.judges()) + len(others) < overlap


class Twin:
    """What the queue should do, by looking at everything each time."""

    def __init__(self, overlap):
        self.overlap = overlap
        self.items: dict[int, TwinItem] = {}

    def next_item(self, person, now):
        held = sorted(
            (item.leases[person][0], number) for number, item in self.items.items() if person in item.leases
        )
        for _, number in held:
            item = self.items[number]
            if item.leases[person][1] > now or item.has_place(person, self.overlap, now):
                item.leases[person] = (item.leases[person][0], now + LEASE)
                return number
        for number in sorted(self.items, key=lambda number: (-self.items[number].priority, number)):
            item = self.items[number]
            if person not in item.judgements and item.has_place(person, self.overlap, now):
                item.leases[person] = (now, now + LEASE)
                return number
        return None


class QueueMachine(RuleBasedStateMachine):
    @initialize(overlap=st.integers(1, 2), num_items=st.integers(0, 3))
    def begin(self, overlap, num_items):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store.db"
        self.clock = Clock()
        self.store = open_store(self.path, must_exist=False, now=self.clock)
        self.twin = Twin(overlap)
        self.acknowledged = {}
        self.num_new = 0
        change_queue_settings(self.store, overlap=overlap, lease_seconds=LEASE)
        for name in ("anna", "bob", "carol"):
            add_person(self.store, name)
        self.more_items(num_items)

    @rule(num_items=st.integers(1, 2))
    def more_items(self, num_items):
        add_items(self.store, new_items(num_items, start=self.num_new))
        for number in range(self.num_new + 1, self.num_new + num_items + 1):
            self.twin.items[number] = TwinItem()
        self.num_new += num_items

    @rule(person=PEOPLE)
    def ask_and_work_long(self, person):
        self.ask(person)
        self.clock.pass_seconds(LEASE)

    @rule(person=PEOPLE, kind=st.sampled_from(["ranking", "skip"]))
    def ask_and_judge(self, person, kind):
        number = self.ask(person)
        if number is not None:
            self.submit(person, number, kind)

    @rule(person=PEOPLE)
    def only_ask(self, person):
        self.ask(person)

    def ask(self, person):
        got = item_of(next_item(self.store, person))
        assert got == self.twin.next_item(person, self.clock.time)
        return got

    @rule(person=PEOPLE, data=st.data())
    def judge(self, person, data):
        given = [
            number for number, item in self.twin.items.items() if person in item.leases | item.judgements
        ]
        if given:
            number = data.draw(st.sampled_from(given))
            kind = data.draw(st.sampled_from(["ranking", "cannot_rank", "skip"]))
            self.submit(person, number, kind)

    def submit(self, person, number, kind):
        item = self.twin.items[number]
        before = item.judgements.get(person)
        ranks = (0, 1, 1) if kind == "ranking" else None
        sent = judgement(number, person, kind=kind, ranks=ranks, replaces=before[1] if before else None)
        done = submit(self.store, sent)
        assert done.is_new
        assert submit(self.store, sent) == type(done)(done.judgement_id, is_new=False)
        is_late = person not in item.leases or item.leases[person][1] <= self.clock.time
        item.num_excused += kind != "skip" and is_late
        item.leases.pop(person, None)
        item.judgements[person] = (kind, done.judgement_id)
        self.acknowledged[done.judgement_id] = (number, person, kind)

    @rule(person=PEOPLE, data=st.data())
    def judge_what_is_not_theirs_or_out_of_date(self, person, data):
        if not self.twin.items:
            return
        number = data.draw(st.sampled_from(sorted(self.twin.items)))
        item = self.twin.items[number]
        wrong = StaleJudgement if person in item.judgements else NotAssigned
        if wrong is NotAssigned and person in item.leases:
            return
        try:
            submit(self.store, judgement(number, person))
            raise AssertionError("was stored")
        except wrong:
            pass

    @rule(person=PEOPLE, data=st.data())
    def give_back(self, person, data):
        held = [number for number, item in self.twin.items.items() if person in item.leases]
        if held:
            number = data.draw(st.sampled_from(held))
            release_lease(self.store, person, number)
            del self.twin.items[number].leases[person]

    @rule(seconds=st.sampled_from([1.0, LEASE - 1, LEASE]))
    def wait(self, seconds):
        self.clock.pass_seconds(seconds)

    @rule()
    def start_again(self):
        self.nothing_is_lost_or_doubled()
        self.never_more_judges_than_wanted_unless_a_lease_expired()
        self.store.close()
        self.store = open_store(self.path, now=self.clock)

    @rule(overlap=st.integers(1, 3))
    def raise_overlap(self, overlap):
        if overlap > self.twin.overlap:
            change_queue_settings(self.store, overlap=overlap)
            self.twin.overlap = overlap

    @precondition(lambda self: self.twin.items)
    @rule(data=st.data(), priority=st.sampled_from([-1.0, 0.0, 1.0, 2.5]))
    def place(self, data, priority):
        number = data.draw(st.sampled_from(sorted(self.twin.items)))
        place_in_queue(self.store, [Placement(number, priority)])
        self.twin.items[number].priority = priority

    def nothing_is_lost_or_doubled(self):
        stored = {
            one.judgement_id: (one.item_id, one.annotator_id, one.kind) for one in all_judgements(self.store)
        }
        assert stored == self.acknowledged
        current = {
            (one.item_id, one.annotator_id): (one.kind, one.judgement_id)
            for one in current_judgements(self.store)
        }
        assert current == {
            (number, person): judged
            for number, item in self.twin.items.items()
            for person, judged in item.judgements.items()
        }

    def never_more_judges_than_wanted_unless_a_lease_expired(self):
        for item in iterate_items(self.store):
            twin = self.twin.items[item.item_id]
            assert item.num_judges == len(twin.judges())
            assert item.num_judges <= self.twin.overlap + twin.num_excused
            assert item.is_open == (item.num_judges < self.twin.overlap)

    def teardown(self):
        if hasattr(self, "store"):
            self.start_again()
            self.store.close()
            self.folder.cleanup()


TestQueue = pytest.mark.slow(QueueMachine.TestCase)
TestQueue.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
