"""The report of a store: what is in it, what it leaves unsaid, and when it is computed again."""

import numpy as np
import pytest
from tests.preferences.quality.simulated_people import dense_ranks

from posttrain.preferences.preference_store import PreferenceStore
from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.report import quality_report
from posttrain.preferences.quality.report_cache import REST, ReportCache, cache_of
from posttrain.preferences.quality.settling import settle


def test_an_empty_store_says_that_there_is_too_little(team):
    report = quality_report(team.store)
    assert isinstance(report.alpha, TooFew)
    assert report.alpha.have == 0
    assert isinstance(report.position, TooFew)
    assert report.people == report.to_settle == report.checkpoints == ()
    assert report.best_by_place is None
    assert report.newest_judgement_id == 0


def test_few_items_give_no_number_and_enough_do(team):
    items = team.add(10)
    for item in items[:9]:
        for who in (team.anna, team.ben):
            team.says(who, item, item % 2, 1 - item % 2)
    report = quality_report(team.store)
    assert report.agreement == TooFew(9, 10)
    assert report.alpha == TooFew(9, 10)
    assert all(isinstance(own.pairs, TooFew) for own in report.people)
    for who in (team.anna, team.ben):
        team.says(who, items[9], 0, 1)
    report = quality_report(team.store)
    assert report.agreement.value == 1.0
    assert report.alpha.value == pytest.approx(1.0)
    assert report.tau_b.value == pytest.approx(1.0)
    assert report.num_shared_items == 10
    assert {own.person.name: own.num_rankings for own in report.people} == {"anna": 10, "ben": 10}


def test_of_a_team(team):
    rng = np.random.default_rng(0)
    items = team.add(40, models=("old", "new", "other"), num_responses=3)
    gold = team.add(6, gold=(0, 1, 2), num_responses=3)
    for item in items:
        quality = np.array([0.0, 1.0, 0.3]) + rng.normal(size=3)
        for who in (team.anna, team.ben):
            order = tuple(rng.permutation(3).tolist())
            team.says(who, item, *dense_ranks((quality + 0.4 * rng.normal(size=3)).tolist()), order=order)
    for item in gold:
        team.says(team.anna, item, 0, 1, 2)
        team.says(team.ben, item, 2, 1, 0)
    team.says(team.cleo, items[0], kind="cannot_rank", size=3)
    report = quality_report(team.store)
    assert report.num_rankings == 80
    assert report.num_gold_judgements == 12
    assert report.agreement.num_items == 40
    assert report.agreement.value > 0.6
    by_name = {own.person.name: own for own in report.people}
    assert by_name["anna"].gold.value == 1.0
    assert by_name["ben"].gold.value == 0.0
    assert by_name["cleo"].gold == TooFew(0, 5)
    assert by_name["cleo"].num_cannot_rank == 1
    assert report.checkpoints[0].checkpoint == "new"
    assert report.checkpoints[0].num_prompts == 40
    share, prompts = report.checkpoints[0].against["old"]
    assert share > 0.5
    assert prompts == 40
    assert report.best_by_place.num_rankings == 80
    assert report.position.num_rankings == 80


def test_settled_items_are_to_settle_no_more(team):
    first, second = team.add(2)
    for item in (first, second):
        team.says(team.anna, item, 0, 1)
        team.says(team.ben, item, 1, 0)
    assert [own.item_id for own in quality_report(team.store).to_settle] == [first, second]
    settle(
        team.store,
        submission_id="s",
        item_id=first,
        annotator_id=team.rhea,
        ranks=[1, 2],
        unacceptable=[False] * 2,
    )
    report = quality_report(team.store)
    assert [own.item_id for own in report.to_settle] == [second]
    assert report.num_settled == 1
    assert report.num_rankings == 4


def test_a_report_holds_until_somebody_judges_and_a_rest_has_passed(team, clock):
    items = team.add(3)
    team.says(team.anna, items[0], 0, 1)
    cache = ReportCache(team.store)
    first = cache.report()
    clock.now += 60
    assert cache.report() is first
    team.says(team.anna, items[1], 0, 1)
    second = cache.report()  # computing took far less than a tenth of the minute
    assert second.num_rankings == 2
    team.says(team.anna, items[2], 0, 1)
    assert cache.report() is second  # no time has passed on the store's clock
    clock.now += 30
    assert cache.recent() is second
    clock.now -= 30
    assert cache.report(fresh=True).num_rankings == 3
    third = cache.report()
    clock.now += 61
    assert cache.recent() is third  # nothing was judged since
    clock.now += 601
    assert cache.report() is not third


def test_a_long_computation_is_not_repeated_at_once(team, clock, monkeypatch):
    (item, other) = team.add(2)
    team.says(team.anna, item, 0, 1)
    cache = ReportCache(team.store)
    slow = cache.report()
    object.__setattr__(slow, "took_seconds", 2.0)
    team.says(team.anna, other, 0, 1)
    clock.now += 2 * REST - 1
    assert cache.report() is slow
    clock.now += 1
    assert cache.report() is not slow


def test_a_store_has_one_cache(team):
    assert cache_of(team.store) is cache_of(team.store)


def test_from_python(team):
    (item,) = team.add(1)
    team.says(team.anna, item, 0, 1)
    assert PreferenceStore(team.store).quality().num_rankings == 1
