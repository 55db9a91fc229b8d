"""What is said to stand out, and what is not."""

import dataclasses

import pytest
from tests.preferences.quality.team import Team
from tests.web.quality.example_store import fill

from posttrain.preferences.quality.enough import TooFew
from posttrain.preferences.quality.intervals import Estimate
from posttrain.preferences.quality.position_bias import PositionBias
from posttrain.preferences.quality.report import quality_report
from posttrain.web.quality.remarks import remarks


@pytest.fixture
def report(store):
    """One item each by people without anything to remark about: every number is too little."""
    team = Team(store)
    items = team.add(2)
    for who in (team.anna, team.ben, team.cleo):
        team.says(who, items[0], 0, 1)
    return quality_report(store)


def said(report) -> str:
    return "\n".join(f"{own.seen} {own.do} #{own.section}" for own in remarks(report)).replace("\xa0", " ")


def of_person(report, **values):
    first, *rest = report.people
    return dataclasses.replace(report, people=(dataclasses.replace(first, **values), *rest))


def test_of_too_little_nothing_is_said(report):
    assert said(report) == ""


def test_a_team_of_different_care(store):
    fill(store, num_items=240)
    text = said(quality_report(store))
    assert "dara ranks cards shown first better" in text
    assert "emil agrees with the others on" in text
    assert "emil takes" in text
    assert "items differ between people" in text
    for careful in ("anna", "björn", "chen"):
        assert careful not in text


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (0.52, (0.45, 0.59), "may be chance"),
        (0.56, (0.53, 0.59), "little more than chance"),
        (0.7, (0.65, 0.75), ""),
    ],
)
def test_agreement(report, value, interval, expected):
    text = said(dataclasses.replace(report, agreement=Estimate(value, interval, 100)))
    assert expected in text if expected else text == ""


def test_a_place_that_matters_and_one_that_is_only_sure(report):
    def with_bias(correlation, p_value):
        return said(
            dataclasses.replace(report, position=PositionBias(correlation, 5.0, p_value, None, 10_000))
        )

    assert "Cards shown first are ranked better" in with_bias(0.1, 1e-6)
    assert "Cards shown last are ranked better" in with_bias(-0.1, 1e-6)
    assert with_bias(0.01, 1e-6) == ""
    assert with_bias(0.1, 0.2) == ""


def test_a_person(report):
    name = report.people[0].person.name
    assert f"{name} is right on 60 % of known answers (20 items)" in said(
        of_person(report, gold=Estimate(0.6, (0.5, 0.7), 20))
    )
    assert said(of_person(report, gold=Estimate(0.8, (0.6, 0.9), 8))) == ""
    assert f"{name} ties 90 % of pairs" in said(of_person(report, share_tied=0.9, num_rankings=30))
    overall = dataclasses.replace(report, agreement=Estimate(0.72, (0.71, 0.73), 1000))
    assert f"{name} agrees with the others on 60 % of pairs" in said(
        of_person(overall, pairs=Estimate(0.6, (0.55, 0.65), 200))
    )
    assert said(of_person(overall, pairs=Estimate(0.69, (0.68, 0.7), 9000))) == ""
    assert said(of_person(overall, pairs=TooFew(3, 10))) == ""
