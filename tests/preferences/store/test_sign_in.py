"""Signing in when many try at once, on both databases: limits and invites hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import event, func, select

from posttrain.preferences.store import passwords, people
from posttrain.preferences.store import sign_in as module
from posttrain.preferences.store.audit import Actor, audit_entries
from posttrain.preferences.store.invites import accept_invite, invite
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.people_changes import disable, set_password
from posttrain.preferences.store.schema import web_sessions
from posttrain.preferences.store.sessions import RENEWAL_SECONDS, begin_session, end_session, session_holder
from posttrain.preferences.store.sign_in import TooManyAttempts, begin_attempt, sign_in

DAY = timedelta(days=1)
PASSWORD = "four words for tests"


@pytest.fixture(autouse=True)
def _fast_hashes(monkeypatch):
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._hash_of_nothing.cache_clear()


@pytest.fixture
def bob(store) -> int:
    person = add_annotator(store, "bob", "annotator", by=Actor())
    set_password(store, "bob", PASSWORD, by=Actor())
    return person.annotator_id


def test_of_many_guesses_at_once_no_more_than_the_limit_are_looked_at(store):
    """Attempts are stored before they are counted, so none of them is too early to be seen."""

    def guess(number: int) -> bool:
        try:
            begin_attempt(store, "bob", f"192.0.2.{number}")
        except TooManyAttempts as limit:
            return not 1 <= limit.retry_after <= 15 * 60
        return True

    with ThreadPoolExecutor(16) as threads:
        looked_at = sum(threads.map(guess, range(40)))
    assert looked_at <= 10
    for number in range(10 - looked_at):  # two that refuse each other at the limit leave room for later ones
        assert guess(100 + number)
    assert not guess(200)


def test_unknown_names_cost_what_wrong_passwords_cost(store, bob, monkeypatch):
    """The same statements and one hash; no search through all names for the nearest one."""
    hashed = []
    monkeypatch.setattr(people.difflib, "get_close_matches", None)
    monkeypatch.setattr(module, "is_password", lambda *given: hashed.append(given) is not None)

    def work_of(name: str) -> tuple[list[str], int]:
        statements: list[str] = []
        hashed.clear()

        def note(connection, cursor, statement, *rest):
            statements.append(statement)

        event.listen(store._engine, "before_cursor_execute", note)
        assert sign_in(store, name, "a wrong password", address="192.0.2.1", session_length=DAY) is None
        event.remove(store._engine, "before_cursor_execute", note)
        return statements, len(hashed)

    known = work_of("bob")
    assert known[1] == 1
    assert work_of("bobb") == known
    for name in ("b" * 65, "b" * 10**6, "b\x00", "b\ud800", ""):  # refused before they are looked up
        statements, num_hashed = work_of(name)
        assert num_hashed == 1
        assert not [one for one in statements if "FROM annotators" in one]


def test_spellings_of_a_name_that_find_one_person_share_its_limit(store):
    add_annotator(store, "josé su", "annotator", by=Actor())
    spellings = ["josé su", "JOSÉ SU", "jose\u0301 su", "jo\u017fé su", " josé \u017fu "]
    for number in range(10):
        begin_attempt(store, spellings[number % 5], f"192.0.2.{number}")
    for spelling in spellings:
        with pytest.raises(TooManyAttempts):
            begin_attempt(store, spelling, "192.0.2.99")


def test_of_many_who_use_one_invite_at_once_one_gets_in(store, bob):
    secret = invite(store, "bob", by=Actor())

    def accept(number: int) -> int | None:
        return store.write(
            lambda connection: accept_invite(connection, store.now(), secret, f"hash {number}", address="")
        )

    with ThreadPoolExecutor(8) as threads:
        found = [person for person in threads.map(accept, range(8)) if person is not None]
    assert found == [bob]


def test_a_person_who_is_disabled_while_the_password_is_hashed_stays_out(store, bob, monkeypatch):
    def slowly(password, stored_hash):
        disable(store, "bob", by=Actor())
        return passwords.is_password(password, stored_hash)

    monkeypatch.setattr(module, "is_password", slowly)
    assert sign_in(store, "bob", PASSWORD, address="", session_length=DAY) is None
    assert audit_entries(store)[0].action == "sign_in_failed"


def test_a_password_that_is_changed_while_the_old_one_is_hashed_is_not_enough(store, bob, monkeypatch):
    def slowly(password, stored_hash):
        matches = passwords.is_password(password, stored_hash)
        set_password(store, "bob", "another one for tests", by=Actor())
        return matches

    monkeypatch.setattr(module, "is_password", slowly)
    assert sign_in(store, "bob", PASSWORD, address="", session_length=DAY) is None


def test_a_session_lasts_while_it_is_used(store, clock, bob):
    with store.writing() as connection:
        secret = begin_session(connection, store.now(), bob, kind="password", length=DAY)
    holder = session_holder(store, secret, length=DAY)
    assert (holder.annotator_id, holder.name, holder.role, holder.kind) == (
        bob,
        "bob",
        "annotator",
        "password",
    )
    clock.pass_seconds(RENEWAL_SECONDS)  # not yet noted
    assert session_holder(store, secret, length=DAY) is not None
    clock.pass_seconds(86_400 - RENEWAL_SECONDS - 1)
    assert session_holder(store, secret, length=DAY) is not None
    clock.pass_seconds(86_399)
    assert session_holder(store, secret, length=DAY) is not None
    clock.pass_seconds(86_400)
    assert session_holder(store, secret, length=DAY) is None
    for other in ("", secret[:-1], secret + "x"):
        assert session_holder(store, other, length=DAY) is None


@pytest.mark.parametrize("length", [DAY, timedelta(days=365)])
def test_a_session_ends_90_days_after_it_began_however_much_it_is_used(store, clock, bob, length):
    with store.writing() as connection:
        secret = begin_session(connection, store.now(), bob, kind="password", length=length)
    for _ in range(2 * 90 - 1):
        clock.pass_seconds(43_200)
        assert session_holder(store, secret, length=length) is not None
    clock.pass_seconds(43_199)
    assert session_holder(store, secret, length=length) is not None
    clock.pass_seconds(1)
    assert session_holder(store, secret, length=length) is None


def test_ended_sessions_are_gone_and_expired_ones_swept_out(store, clock, bob):
    with store.writing() as connection:
        first = begin_session(connection, store.now(), bob, kind="printed", length=DAY)
        end_session(connection, first)
        begin_session(connection, store.now(), bob, kind="password", length=DAY)
    assert session_holder(store, first, length=DAY) is None
    clock.pass_seconds(2 * 86_400)
    with store.writing() as connection:
        begin_session(connection, store.now(), bob, kind="password", length=DAY)
        assert connection.scalar(select(func.count()).select_from(web_sessions)) == 1
