"""Which judgements count for what: the newest blind one of each person; gold, skips and settling apart."""

from posttrain.preferences.quality.evidence import read_checkpoints, read_evidence
from posttrain.preferences.quality.settling import settle, settled_items


def ranks_by_person(evidence):
    return {(own.annotator_id, own.item_id): own.ranks for own in evidence.rankings}


def test_only_the_current_judgement_of_a_person_counts(team):
    (item,) = team.add(1)
    team.says(team.anna, item, 0, 1)
    team.says(team.anna, item, 1, 0)
    team.says(team.ben, item, 0, 0)
    evidence = read_evidence(team.store)
    assert ranks_by_person(evidence) == {(team.anna, item): (1, 0), (team.ben, item): (0, 0)}
    assert sum(evidence.per_day.values()) == 2
    team.says(team.ben, item, kind="cannot_rank")
    team.says(team.anna, item, kind="skip")
    evidence = read_evidence(team.store)
    assert evidence.rankings == []
    assert evidence.cannot_rank == [(item, team.ben)]
    assert evidence.num_skips == {team.anna: 1}


def test_known_answers_are_kept_apart(team):
    gold = team.add(2, gold=(1, 0))
    (ordinary,) = team.add(1)
    for item in (*gold, ordinary):
        team.says(team.anna, item, 1, 0, is_flagged=item == ordinary)
    team.says(team.ben, gold[0], kind="cannot_rank")
    evidence = read_evidence(team.store)
    assert [own.item_id for own in evidence.rankings] == [ordinary]
    assert sorted(own.item_id for own in evidence.gold_rankings) == gold
    assert evidence.gold_cannot_rank == [(gold[0], team.ben)]
    assert evidence.cannot_rank == []
    assert evidence.gold_answers == dict.fromkeys(gold, (1, 0))
    assert dict(evidence.flagged) == {ordinary: [team.anna]}


def test_what_is_said_with_others_in_view_settles_and_is_no_agreement(team):
    (item,) = team.add(1)
    team.says(team.anna, item, 0, 1)
    team.says(team.ben, item, 1, 0)
    settle(
        team.store,
        submission_id="s",
        item_id=item,
        annotator_id=team.rhea,
        ranks=[3, 7],
        unacceptable=[False, True],
    )
    evidence = read_evidence(team.store)
    assert evidence.settled == settled_items(team.store) == {item}
    assert {own.annotator_id for own in evidence.rankings} == {team.anna, team.ben}


def test_what_a_reviewer_said_before_settling_stays_evidence(team):
    (item,) = team.add(1)
    team.says(team.rhea, item, 1, 0)
    before = team.says(team.rhea, item, 0, 0)
    settle(
        team.store,
        submission_id="s",
        item_id=item,
        annotator_id=team.rhea,
        ranks=[1, 2],
        unacceptable=[False, False],
        replaces=before,
    )
    assert ranks_by_person(read_evidence(team.store)) == {(team.rhea, item): (0, 0)}
    # Who has seen what the others say has seen it: a later judgement on the ranking page is no evidence either.
    team.says(team.rhea, item, 1, 0)
    evidence = read_evidence(team.store)
    assert ranks_by_person(evidence) == {(team.rhea, item): (0, 0)}
    assert evidence.settled == settled_items(team.store) == {item}
    team.says(team.rhea, item, kind="skip")
    assert read_evidence(team.store).settled == settled_items(team.store) == set()


def test_the_order_of_cards_counts_where_somebody_worked_at_them(team):
    """Rankings brought from elsewhere have an order too, but nobody shuffled it: it would look like a bias."""
    first, second = team.add(2)
    team.says(team.anna, first, 0, 1, order=(1, 0), seconds=12.0)
    team.says(team.anna, second, 0, 1, order=(1, 0), seconds=0.0)
    evidence = read_evidence(team.store)
    assert [own.order_shown for own in evidence.rankings] == [(1, 0), ()]
    assert dict(evidence.seconds) == {team.anna: [12.0]}


def test_grades_and_marks(team):
    (item,) = team.add(1)
    team.says(team.anna, item, 0, 1, grades=(5, None), unacceptable=(False, True))
    team.says(team.ben, item, 0, 1)
    evidence = read_evidence(team.store)
    assert evidence.grades == [(item, (5, None))]
    assert sorted(evidence.marks) == [(item, (False, False)), (item, (False, True))]


def test_checkpoints_are_read_once(team):
    old = team.add(2, models=("a", "b", ""), num_responses=3)
    known = read_checkpoints(team.store, {})
    assert known == dict.fromkeys(old, ("a", "b", ""))
    assert known[old[0]] is known[old[1]]
    (new,) = team.add(1, num_responses=2)
    assert read_checkpoints(team.store, known) == {new: ("", "")}
