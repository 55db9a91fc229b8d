"""`posttrain annotators`: what it prints and what it refuses."""

from __future__ import annotations

import io
import re

import pytest

from posttrain.cli import main
from posttrain.preferences.store.audit import audit_entries
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.invites import invited_name
from posttrain.preferences.store.people import list_annotators


@pytest.fixture
def store_file(tmp_path):
    path = tmp_path / "store.db"
    open_store(path, must_exist=False).close()
    return path


def annotators(store_file, *words: str) -> None:
    main(["annotators", *words, "--store", str(store_file)])


def test_an_invite_is_printed_once_on_a_line_of_its_own(store_file, capsys):
    annotators(store_file, "add", "bob", "--role", "reviewer", "--address", "https://rank.example.org")
    first, second, address = capsys.readouterr().out.splitlines()
    assert first == "added bob (reviewer)"
    assert "to be used once within 7 days" in second
    secret = re.fullmatch(r"https://rank\.example\.org/invite/([\w-]{43})", address)[1]
    annotators(store_file, "list")
    said = capsys.readouterr().out
    assert re.search(r"bob +reviewer +invited +20\d\d-\d\d-\d\d", said)
    assert secret not in said
    with open_store(store_file) as store:
        assert invited_name(store, secret) == "bob"
    annotators(store_file, "invite", "bob")
    again = capsys.readouterr().out.splitlines()[-1]
    assert again.startswith("http://127.0.0.1:8042/invite/")
    with open_store(store_file) as store:
        assert invited_name(store, secret) is None
        assert invited_name(store, again.rpartition("/")[2]) == "bob"


def test_a_script_adds_people_with_passwords(store_file, tmp_path, capsys, monkeypatch):
    (tmp_path / "password").write_text("four words for tests\n", encoding="utf-8")
    annotators(store_file, "add", "bob", "--password-file", str(tmp_path / "password"))
    monkeypatch.setattr("sys.stdin", io.StringIO("four words for tests\n"))
    annotators(store_file, "add", "carol", "--password-file", "-")
    assert "/invite/" not in capsys.readouterr().out
    with open_store(store_file) as store:
        assert [(p.name, p.has_password) for p in list_annotators(store)] == [("bob", True), ("carol", True)]


def test_roles_disabling_and_enabling(store_file, capsys):
    annotators(store_file, "add", "bob", "--role", "admin")
    annotators(store_file, "role", "BOB", "--role", "reviewer")
    annotators(store_file, "disable", "bob")
    annotators(store_file, "enable", "bob")
    said = capsys.readouterr().out
    assert "bob has the role reviewer now" in said
    assert "bob is let in no more; judgements stay" in said
    assert "bob is let in again" in said
    with open_store(store_file) as store:
        entries = audit_entries(store)
    assert [entry.action for entry in entries] == [
        "enabled",
        "disabled",
        "role_changed",
        "invited",
        "annotator_added",
    ]
    assert {entry.annotator for entry in entries} == {None}
    assert all(entry.details["command_line_of"] for entry in entries)


def test_an_empty_store_says_how_to_begin(store_file, capsys):
    annotators(store_file, "list")
    assert "posttrain annotators add NAME" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "name is not set"),
        (["add", "bob", "--role", "boss"], "Input should be 'annotator', 'reviewer' or 'admin'"),
        (["add", "a\u202eb"], "cannot be an annotator's name"),
        (["add", "bob", "--password-file", "/nowhere"], "cannot be read"),
        (["add", "bob", "--address", "rank.example.org"], "address"),
        (["add", "bob", "--address", "https://rank.example.org/x y"], "address"),
        (["disable", "bob"], "there is no annotator called 'bob'"),
        (["role", "bob"], "role is not set"),
        (["invite", "bob", "--invite-days", "0"], "invite_days"),
    ],
)
def test_refusals(store_file, words, said, capsys):
    with pytest.raises(SystemExit):
        annotators(store_file, *words)
    assert said in capsys.readouterr().err
    with open_store(store_file) as store:
        assert list_annotators(store) == []


def test_a_weak_password_leaves_nobody_behind(store_file, tmp_path, capsys):
    (tmp_path / "password").write_text("short", encoding="utf-8")
    with pytest.raises(SystemExit):
        annotators(store_file, "add", "bob", "--password-file", str(tmp_path / "password"))
    assert "at least 10" in capsys.readouterr().err
    with open_store(store_file) as store:
        assert list_annotators(store) == []


def test_no_store(tmp_path, capsys):
    for words in (["add", "bob"], ["list"]):
        with pytest.raises(SystemExit):
            annotators(tmp_path / "none.db", *words)
        assert "there is no store" in capsys.readouterr().err
