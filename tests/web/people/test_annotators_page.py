"""Managing people on the page, and the log of what was done."""

from __future__ import annotations

import re

import pytest
from tests.web.visitor import ACCOUNTS, LOCAL, PASSWORD, Visitor, add_person

from posttrain.preferences.store.audit import Actor, audit_entries, note_alone
from posttrain.preferences.store.people import annotator_named, list_annotators
from posttrain.web.access import Access
from posttrain.web.app import create_app


def invite_in(text: str) -> str | None:
    found = re.search(r'id="invite">http://127\.0\.0\.1:8042(/invite/[\w-]{43})<', text)
    return found[1] if found else None


def test_adding_shows_the_invite_once_and_it_works(store):
    app = create_app(store, access=LOCAL)
    admin = Visitor(app).open_printed_address()
    answer = admin.post_form("/annotators/add", name="bob", role="reviewer")
    assert "bob is added." in answer.text
    assert "on this machine alone" in answer.text
    assert "--host 0.0.0.0" in answer.text
    path = invite_in(answer.text)
    assert path is not None
    assert invite_in(admin.get("/annotators").text) is None
    bob = Visitor(app)
    bob.get(path)
    assert bob.post_form(path, password=PASSWORD, again=PASSWORD).status_code == 303
    assert annotator_named(store, "bob").role == "reviewer"


def test_what_cannot_be_added_is_said_on_the_page(store):
    admin = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    for name, role, said in (
        ("ALICE", "admin", "There is an annotator called &#39;alice&#39; already"),
        ("", "annotator", "cannot be an annotator&#39;s name"),
        ("<b>x</b>", "annotator", "&lt;b&gt;x&lt;/b&gt;"),
        ("a\u202eb", "annotator", "cannot be an annotator&#39;s name"),
        ("a" * 65, "annotator", "1 to 64"),
        ("bob", "reveiwer", "Did you mean reviewer?"),
    ):
        answer = admin.post_form("/annotators/add", name=name, role=role)
        assert answer.status_code == 400
        assert said in answer.text
    assert [person.name for person in list_annotators(store)] == ["alice"]


def test_invites_roles_disabling_and_enabling(store):
    add_person(store, "bob")
    app = create_app(store, access=ACCOUNTS)
    add_person(store, "root", "admin")
    admin = Visitor(app)
    admin.sign_in("root")
    admin.get("/annotators")
    assert invite_in(admin.post_form("/annotators/invite", name="bob").text)
    assert "has the role admin now" in admin.post_form("/annotators/role", name="bob", role="admin").text
    assert "is no role" in admin.post_form("/annotators/role", name="bob", role="root").text
    assert "is let in no more" in admin.post_form("/annotators/disable", name="bob").text
    assert Visitor(app).sign_in("bob").status_code == 403
    assert "enable them first" in admin.post_form("/annotators/invite", name="bob").text
    assert "is let in again" in admin.post_form("/annotators/enable", name="bob").text
    assert Visitor(app).sign_in("bob").status_code == 303
    assert "Did you mean bob?" in admin.post_form("/annotators/disable", name="bub").text
    done = [entry for entry in reversed(audit_entries(store)) if entry.annotator == "root"]
    assert [(entry.action, entry.subject) for entry in done] == [
        ("signed_in", "root"), ("invited", "bob"), ("role_changed", "bob"), ("disabled", "bob"), ("enabled", "bob"),
    ]  # fmt: skip
    assert done[2].details == {"from": "annotator", "to": "admin"}
    assert {entry.address for entry in done} == {"192.0.2.7"}


def test_admins_cannot_shut_themselves_out(store):
    admin = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    for name in ("alice", "ALICE", " alice "):
        assert admin.post_form("/annotators/disable", name=name).status_code == 400
        assert admin.post_form("/annotators/role", name=name, role="annotator").status_code == 400
    assert admin.get("/annotators").status_code == 200


def test_behind_https_the_invite_says_https(store):
    add_person(store, "root", "admin")
    access = Access.accounts(hosts=("rank.example.org",), is_https=True)
    admin = Visitor(create_app(store, access=access), host="rank.example.org")
    admin.client.base_url, admin.origin = "https://rank.example.org", "https://rank.example.org"
    admin.sign_in("root")
    admin.get("/annotators")
    answer = admin.post_form("/annotators/add", name="bob", role="annotator")
    assert 'id="invite">https://rank.example.org/invite/' in answer.text
    assert "on this machine alone" not in answer.text


@pytest.mark.parametrize(
    ("host", "is_noticed"),
    [("127.0.0.1:8042", True), ("localhost:8042", True), ("[::1]:8042", True), ("192.0.2.1:8042", False)],
)
def test_an_invite_that_leads_nowhere_from_elsewhere_says_so(store, host, is_noticed):
    """An admin who sits at the server opens the page by an address that others cannot use."""
    add_person(store, "root", "admin")
    admin = Visitor(create_app(store, access=ACCOUNTS), host=host)
    admin.sign_in("root")
    admin.get("/annotators")
    text = admin.post_form("/annotators/add", name="bob", role="annotator").text
    assert f'id="invite">http://{host}/invite/' in text
    assert (f"in the place of <code>{host}</code>" in text) == is_noticed
    assert "--host" not in text


class TestAuditPage:
    def test_it_shows_the_newest_first_and_leads_to_older_ones(self, store):
        for number in range(150):
            note_alone(store, "exported", by=Actor(), subject=f"file {number}")
        admin = Visitor(create_app(store, access=LOCAL)).open_printed_address()
        text = admin.get("/audit?action=exported").text
        shown = [int(n) for n in re.findall(r"file (\d+)<", text)]
        assert shown == list(range(149, 49, -1))
        older = re.search(r'<a href="(/audit\?[^"]*)">Older', text)[1].replace("&amp;", "&")
        text = admin.get(older).text
        assert [int(n) for n in re.findall(r"file (\d+)<", text)] == list(range(49, -1, -1))
        assert "Older" not in text

    def test_what_stands_in_it_is_harmless(self, store):
        hostile = '<img src=x onerror=alert(1)>"\u202e'
        note_alone(store, "imported", by=Actor(), subject=hostile, details={hostile: hostile})
        text = Visitor(create_app(store, access=LOCAL)).open_printed_address().get("/audit").text
        assert "<img" not in text
        assert "&lt;img" in text

    def test_what_it_does_not_know(self, store):
        admin = Visitor(create_app(store, access=LOCAL)).open_printed_address()
        for query in ("action=nothing", "before=x", "before=-1", "before=" + "9" * 40, "before=٣"):
            assert admin.get(f"/audit?{query}").status_code == 400
        assert admin.get("/audit?action=&before=").status_code == 200
