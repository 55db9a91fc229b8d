"""People, their passwords and invites, in the store."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select

from posttrain.errors import ConfigError
from posttrain.preferences.store import passwords
from posttrain.preferences.store.audit import Actor, at_command_line, audit_entries, note_alone
from posttrain.preferences.store.invites import invite, invited_name
from posttrain.preferences.store.passwords import hash_of_password, is_password
from posttrain.preferences.store.people import (
    add_annotator,
    annotator_named,
    list_annotators,
    name_key,
    person_at_this_machine,
    somebody_can_sign_in,
)
from posttrain.preferences.store.people_changes import change_role, disable, enable, set_password
from posttrain.preferences.store.schema import annotators

BY = at_command_line("somebody")
ON_THE_PAGE = Actor(annotator_id=1)


class TestPasswords:
    def test_the_hash_is_argon2id_with_a_salt_of_its_own(self):
        first, second = (hash_of_password("four words for tests", name="bob") for _ in range(2))
        assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert first != second
        assert is_password("four words for tests", first)
        assert not is_password("four words for test", first)

    def test_one_text_written_in_two_ways_is_one_password(self):
        assert is_password(
            "cafe\u0301 in the cafe\u0301", hash_of_password("caf\xe9 in the caf\xe9", name="bob")
        )

    def test_without_an_account_the_same_work_is_done(self, monkeypatch):
        worked = []

        class Counting:
            def hash(self, password):
                return "hash of nothing"

            def verify(self, stored, password):
                worked.append(stored)
                return True

        monkeypatch.setattr(passwords, "_hasher", Counting())
        passwords._hash_of_nothing.cache_clear()
        assert not is_password("anything at all", None)
        assert is_password("anything at all", "a hash")
        assert worked == ["hash of nothing", "a hash"]
        passwords._hash_of_nothing.cache_clear()

    def test_a_hash_that_is_damaged_lets_nobody_in(self):
        assert not is_password("four words for tests", "damaged")

    @pytest.mark.parametrize(
        ("password", "said"),
        [
            ("123456789", "at least 10"),
            ("aaaaaaaaaaaa", "guessed at once"),
            ("Bartholomew", "guessed at once"),
            ("wemolohtrab", "guessed at once"),
            ("x y" * 400, "at most 1000"),
        ],
    )
    def test_weak_ones_are_refused_before_they_are_hashed(self, password, said, monkeypatch):
        monkeypatch.setattr(passwords, "_hasher", None)
        with pytest.raises(ConfigError, match=said):
            hash_of_password(password, name="bartholomew")


class TestNames:
    @pytest.mark.parametrize("name", ["bob", "Élise B", "a.b@example.org", "O'Neil", "李雷", "x"])
    def test_good_ones(self, store, name):
        assert add_annotator(store, f"  {name} ", "annotator", by=BY).name == name
        assert annotator_named(store, name.upper()).name == name

    @pytest.mark.parametrize(
        "name", ["", " ", "a\nb", "a\x00b", "a  b", "a\u202eb", "a\u200bb", "<b>", "a" * 65, "a/b", "a,b"]
    )
    def test_misleading_ones(self, store, name):
        with pytest.raises(ConfigError, match="cannot be an annotator's name"):
            add_annotator(store, name, "annotator", by=BY)

    def test_one_name_is_one_person(self, store):
        add_annotator(store, "Élise", "annotator", by=BY)
        for name in ("élise", "E\u0301lise", "ÉLISE"):
            with pytest.raises(ConfigError, match="called 'Élise' already"):
                add_annotator(store, name, "admin", by=BY)
        with pytest.raises(ConfigError, match="Did you mean Élise"):
            annotator_named(store, "Elise")

    def test_of_two_servers_that_add_one_name_at_once_one_does(self, store):
        """The second looks before the first has committed, where the database lets it."""
        problems = []

        def add_bob():
            try:
                add_annotator(store, "bob", "annotator", by=BY)
            except ConfigError as error:
                problems.append(str(error))

        other = threading.Thread(target=add_bob)
        with store.writing() as connection:
            row = {"name": "Bob", "name_key": name_key("Bob"), "role": "admin"}
            connection.execute(insert(annotators).values(**row, created_at=0.0, shuffle_seed=1))
            other.start()
            other.join(timeout=0.5)
            assert problems == []  # it waits
        other.join()
        assert len(problems) == 1
        assert "there is an annotator called 'Bob' already" in problems[0]
        assert [person.name for person in list_annotators(store)] == ["Bob"]

    @pytest.mark.parametrize("name", ["a\x00b", "a\ud800b", "b" * 10**6, ""])
    def test_what_cannot_be_a_name_is_nobodys(self, store, name):
        add_annotator(store, "bob", "annotator", by=BY)
        with pytest.raises(ConfigError, match="no annotator called"):
            annotator_named(store, name)


class TestStates:
    def test_who_can_sign_in(self, store):
        assert not somebody_can_sign_in(store)
        person_at_this_machine(store, "alice", by=BY)
        assert not somebody_can_sign_in(store)  # the printed address needs no password, and gives none
        add_annotator(store, "bob", "annotator", by=BY)
        assert not somebody_can_sign_in(store)
        invite(store, "bob", by=BY)
        assert somebody_can_sign_in(store)
        disable(store, "bob", by=BY)
        assert not somebody_can_sign_in(store)
        enable(store, "bob", by=BY)
        assert not somebody_can_sign_in(store)  # the invite has ended
        set_password(store, "bob", "four words for tests", by=BY)
        assert somebody_can_sign_in(store)

    def test_states_in_words(self, store, clock):
        for name in ("a", "b", "c", "d"):
            add_annotator(store, name, "annotator", by=BY)
        invite(store, "b", by=BY)
        set_password(store, "c", "four words for tests", by=BY)
        disable(store, "d", by=BY)
        people = list_annotators(store)
        assert [person.state(clock()) for person in people] == [
            "no password",
            "invited",
            "active",
            "disabled",
        ]
        assert people[1].state(clock() + 8 * 24 * 3600) == "invite expired"

    def test_seeds_of_card_orders_differ(self, store):
        for name in ("a", "b"):
            add_annotator(store, name, "annotator", by=BY)
        with store.reading() as connection:
            seeds = connection.scalars(select(annotators.c.shuffle_seed)).all()
        assert len(set(seeds)) == 2

    def test_an_invite_of_a_disabled_person_is_void(self, store):
        add_annotator(store, "bob", "annotator", by=BY)
        secret = invite(store, "bob", by=BY)
        assert invited_name(store, secret) == "bob"
        disable(store, "bob", by=BY)
        enable(store, "bob", by=BY)
        assert invited_name(store, secret) is None
        disable(store, "bob", by=BY)
        with pytest.raises(ConfigError, match="bob is disabled"):
            invite(store, "bob", by=BY)

    def test_the_person_at_this_machine_raises_nobodys_rights(self, store):
        add_annotator(store, "bob", "reviewer", by=BY)
        with pytest.raises(ConfigError, match=r"known as reviewer.*--annotator NAME"):
            person_at_this_machine(store, "Bob", by=BY)
        alice = person_at_this_machine(store, "alice", by=BY)
        assert person_at_this_machine(store, "alice", by=BY) == alice
        disable(store, "alice", by=BY)
        with pytest.raises(ConfigError, match="alice is disabled"):
            person_at_this_machine(store, "alice", by=BY)

    def test_the_page_keeps_one_admin_the_command_line_need_not(self, store, clock):
        for name in ("a", "b"):
            add_annotator(store, name, "admin", by=BY)
            set_password(store, name, "four words for tests", by=BY)
        change_role(store, "b", "reviewer", by=ON_THE_PAGE)
        for change in (
            lambda by: disable(store, "a", by=by),
            lambda by: change_role(store, "a", "annotator", by=by),
        ):
            with pytest.raises(
                ConfigError, match=r"a is the last admin who can sign in.*Invite another admin"
            ):
                change(ON_THE_PAGE)
        disable(store, "a", by=BY)
        assert annotator_named(store, "a").disabled_at == clock()

    def test_admins_who_cannot_sign_in_do_not_count(self, store, clock):
        for name in ("a", "b"):
            add_annotator(store, name, "admin", by=BY)
        set_password(store, "a", "four words for tests", by=BY)
        with pytest.raises(ConfigError, match="a is the last admin who can sign in"):
            disable(store, "a", by=ON_THE_PAGE)
        invite(store, "b", by=BY)
        clock.pass_seconds(8 * 24 * 3600)  # it has ended
        with pytest.raises(ConfigError, match="a is the last admin who can sign in"):
            change_role(store, "a", "reviewer", by=ON_THE_PAGE)
        disable(store, "b", by=ON_THE_PAGE)  # takes nothing away
        enable(store, "b", by=ON_THE_PAGE)
        invite(store, "b", by=BY)
        disable(store, "a", by=ON_THE_PAGE)
        with pytest.raises(ConfigError, match="b is the last admin who can sign in"):
            disable(store, "b", by=ON_THE_PAGE)


class TestAudit:
    def test_a_change_that_is_refused_leaves_no_entry(self, store):
        add_annotator(store, "a", "admin", by=BY)
        invite(store, "a", by=BY)
        with pytest.raises(ConfigError):
            disable(store, "a", by=ON_THE_PAGE)
        with pytest.raises(ConfigError):
            add_annotator(store, "A", "admin", by=BY)
        change_role(store, "a", "admin", by=BY)  # nothing changes
        assert [(entry.action, entry.annotator, entry.details) for entry in audit_entries(store)] == [
            ("invited", None, {"command_line_of": "somebody"}),
            ("annotator_added", None, {"command_line_of": "somebody", "role": "admin"}),
        ]

    def test_actions_are_those_that_are_known(self, store):
        with pytest.raises(ValueError, match="'deleted' is no action"):
            note_alone(store, "deleted", by=BY)
