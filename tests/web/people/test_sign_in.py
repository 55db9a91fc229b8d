"""Coming in: the printed address, name and password, invites; and everything that must not let anybody in."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import select
from tests.web.visitor import ACCOUNTS, LOCAL, PASSWORD, TOKEN, Visitor, add_person

from posttrain.preferences.store.audit import Actor, audit_entries
from posttrain.preferences.store.invites import invite
from posttrain.preferences.store.people import add_annotator, list_annotators
from posttrain.preferences.store.people_changes import change_role, disable, set_password
from posttrain.preferences.store.schema import annotators, login_attempts, web_sessions
from posttrain.web.access import Access
from posttrain.web.app import create_app
from posttrain.web.people.sign_in import own_path


def actions(store) -> list[tuple[str, str]]:
    """What the audit log says, oldest first: action and subject."""
    return [(entry.action, entry.subject) for entry in reversed(audit_entries(store))]


class TestPrintedAddress:
    def test_the_token_becomes_a_cookie_and_leaves_the_address(self, store):
        visitor = Visitor(create_app(store, access=LOCAL))
        answer = visitor.get(f"/open?token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert TOKEN not in answer.text
        cookies = answer.headers.get_list("set-cookie")
        session = next(cookie for cookie in cookies if cookie.startswith("posttrain-session-8042="))
        assert "HttpOnly" in session
        assert "SameSite=strict" in session
        assert "Path=/" in session
        assert "Domain" not in session
        assert visitor.get("/annotators").status_code == 200
        assert [(p.name, p.role) for p in list_annotators(store)] == [("alice", "admin")]
        assert actions(store) == [("annotator_added", "alice"), ("signed_in", "alice")]

    @pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "%00", "é", "é" * 40])
    def test_nothing_else_opens_it(self, store, token):
        visitor = Visitor(create_app(store, access=LOCAL))
        answer = visitor.get(f"/open?token={token}")
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "Copy the whole" in answer.text
        assert visitor.get("/annotators").status_code == 303

    @pytest.mark.parametrize("token", ["", "None", TOKEN])
    def test_a_server_for_others_has_no_printed_address(self, store, token):
        assert Visitor(create_app(store, access=ACCOUNTS)).get(f"/open?token={token}").status_code == 403

    def test_its_session_is_worth_nothing_on_a_server_for_others(self, store):
        visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
        elsewhere = Visitor(create_app(store, access=ACCOUNTS))
        elsewhere.client.cookies = visitor.client.cookies
        assert elsewhere.get("/annotators").status_code == 303

    def test_guesses_are_limited_but_the_right_address_still_opens(self, store):
        app = create_app(store, access=LOCAL)
        stranger = Visitor(app, address="127.0.0.1")
        answers = [stranger.get(f"/open?token={n}").status_code for n in range(32)]
        assert answers == [403] * 30 + [429] * 2
        assert Visitor(app, address="127.0.0.1").get(f"/open?token={TOKEN}").status_code == 303


class TestPassword:
    def test_signing_in_leads_to_the_page_that_was_asked_for(self, store):
        add_person(store, "Élise", "admin")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        asked = visitor.get("/audit?action=signed_in")
        assert asked.headers["location"] == "/login?next=%2Faudit%3Faction%3Dsigned_in"
        assert 'value="/audit?action=signed_in"' in visitor.get(asked.headers["location"]).text
        answer = visitor.sign_in(
            " éLISE ", target="/audit?action=signed_in"
        )  # capitals do not tell names apart
        assert (answer.status_code, answer.headers["location"]) == (303, "/audit?action=signed_in")
        assert visitor.get("/login").headers["location"] == "/"
        assert actions(store)[-1] == ("signed_in", "Élise")

    def test_wrong_ones_are_not_told_apart(self, store):
        add_person(store, "bob")
        add_person(store, "carol")
        disable(store, "carol", by=Actor())
        add_annotator(store, "dave", "annotator", by=Actor())  # invited, without a password yet
        pages = []
        for name, password in (
            ("bob", "x" * 12),
            ("nobody", PASSWORD),
            ("carol", PASSWORD),
            ("dave", ""),
            ("", ""),
        ):
            visitor = Visitor(create_app(store, access=ACCOUNTS))
            answer = visitor.sign_in(name, password)
            assert answer.status_code == 403
            assert visitor.cookie("session") is None
            pages.append(answer.text.replace(visitor.csrf_token, "").replace(f'value="{name}"', ""))
        assert pages[0] == pages[1] == pages[2] == pages[3]
        failed = [subject for action, subject in actions(store) if action == "sign_in_failed"]
        assert failed == ["bob", "(unknown name)", "carol", "dave", "(unknown name)"]

    def test_what_was_typed_as_a_name_is_not_kept(self, store, tmp_path):
        """People type passwords there."""
        Visitor(create_app(store, access=ACCOUNTS)).sign_in("my secret password", "")
        with store.reading() as connection:
            rows = connection.execute(select(login_attempts)).all()
        assert len(rows) == 1
        assert b"my secret password" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())

    def test_the_session_that_was_there_before_ends(self, store):
        """Fixation: a cookie that an attacker planted is neither taken over nor stays good."""
        add_person(store, "bob")
        add_person(store, "mallory")
        app = create_app(store, access=ACCOUNTS)
        attacker, victim = Visitor(app), Visitor(app)
        attacker.sign_in("mallory")
        planted = attacker.cookie("session")
        victim.client.cookies.set("posttrain-session-8042", planted, domain="127.0.0.1")
        assert victim.get("/login").status_code == 303  # signed in as mallory, without knowing
        victim.get("/audit")
        answer = victim.post_form("/login", name="bob", password=PASSWORD, next="/")
        assert answer.status_code == 303
        fresh = next(c for c in answer.headers.get_list("set-cookie") if "session" in c)
        assert planted not in fresh
        assert attacker.get("/rank").status_code == 303  # mallory's own session ended with it

    def test_a_made_up_session_is_nobody(self, store):
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        for value in ("", "a", "x" * 43, "' OR 1=1 --", "é"):
            headers = {"Cookie": f"posttrain-session-8042={value}".encode()}
            assert visitor.client.get("/annotators", headers=headers).status_code == 303

    def test_the_sign_in_form_has_a_token_of_its_own_visitor(self, store):
        """Login CSRF: another site cannot sign a browser in as somebody else."""
        add_person(store, "mallory")
        app = create_app(store, access=ACCOUNTS)
        attacker, victim = Visitor(app), Visitor(app)
        attacker.get("/login")
        victim.get("/login")
        assert attacker.csrf_token != victim.csrf_token
        answer = victim.post_form("/login", name="mallory", password=PASSWORD, csrf_token=attacker.csrf_token)
        assert answer.status_code == 403
        assert victim.cookie("session") is None
        no_cookies = Visitor(app)
        no_cookies.csrf_token = attacker.csrf_token
        assert no_cookies.post_form("/login", name="mallory", password=PASSWORD).status_code == 403

    def test_the_token_of_the_visit_is_not_that_of_the_session(self, store):
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.get("/login")
        before = visitor.csrf_token
        visitor.sign_in("bob")
        assert visitor.csrf_token != before
        assert visitor.csrf_token not in visitor.cookie("session")
        assert visitor.cookie("visit") is None
        assert visitor.post_form("/logout", csrf_token=before).status_code == 403

    def test_the_store_holds_no_secret(self, store, tmp_path):
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        secret = invite(store, "bob", by=Actor())
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        for hidden in (visitor.cookie("session"), visitor.csrf_token, secret, PASSWORD):
            assert hidden.encode() not in content

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/%5cevil/../..//x\n",
            "javascript:alert(1)", "/a\r\nSet-Cookie: x=1", "rank", "", "/" + "a" * 600, "/\t/evil.example", "/é",
            "/<script>",
        ],
    )  # fmt: skip
    def test_nobody_is_sent_elsewhere(self, store, target):
        assert own_path(target) == "/"
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        assert visitor.sign_in("bob", target=target).headers["location"] == "/"

    @pytest.mark.parametrize("target", ["/", "/rank?item=12", "/quality", "/audit?action=a&before=3"])
    def test_own_pages(self, target):
        assert own_path(target) == target


class TestLimits:
    def test_a_name_waits_after_ten_failures_from_anywhere(self, store, clock):
        add_person(store, "bob")
        add_person(store, "carol")
        app = create_app(store, access=ACCOUNTS)
        addresses = (f"192.0.2.{n}" for n in itertools.count(1))
        for _ in range(10):
            assert Visitor(app, address=next(addresses)).sign_in("Bob", "wrong password").status_code == 403
            clock.now += 10
        refused = Visitor(app, address=next(addresses)).sign_in("bob")  # the right password, too
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == str(15 * 60 - 100)
        assert "Wait 14 minutes and try again" in refused.text
        assert Visitor(app, address=next(addresses)).sign_in("carol").status_code == 303
        clock.now += 15 * 60 - 100
        assert Visitor(app, address=next(addresses)).sign_in("bob").status_code == 303

    def test_an_address_waits_after_thirty_whatever_the_names(self, store):
        add_person(store, "bob")
        app = create_app(store, access=ACCOUNTS)
        for n in range(30):
            assert Visitor(app).sign_in(f"name{n}", "wrong password").status_code == 403
        assert Visitor(app).sign_in("bob").status_code == 429
        assert Visitor(app, address="192.0.2.99").sign_in("bob").status_code == 303

    def test_wrong_invites_keep_nobody_from_signing_in(self, store):
        """Any page that somebody behind the same router looks at can ask for wrong addresses here."""
        add_person(store, "bob")
        app = create_app(store, access=ACCOUNTS)
        assert [Visitor(app).get("/invite/wrong").status_code for _ in range(31)] == [404] * 30 + [429]
        assert Visitor(app).sign_in("bob").status_code == 303

    def test_two_servers_of_one_store_count_together(self, store):
        add_person(store, "bob")
        servers = [create_app(store, access=ACCOUNTS) for _ in range(2)]
        statuses = [Visitor(servers[n % 2]).sign_in("bob", "wrong password").status_code for n in range(11)]
        assert statuses == [403] * 10 + [429]

    def test_a_success_forgives_what_was_mistyped_here_not_what_was_guessed_elsewhere(self, store):
        add_person(store, "bob")
        app = create_app(store, access=ACCOUNTS)
        for n in range(9):
            Visitor(app, address="192.0.2.1" if n % 2 else "192.0.2.2").sign_in("bob", "wrong password")
        assert Visitor(app, address="192.0.2.1").sign_in("bob").status_code == 303
        with store.reading() as connection:
            left = connection.execute(select(login_attempts.c.address)).scalars().all()
        assert left == ["192.0.2.2"] * 5

    def test_refused_attempts_do_not_make_the_wait_longer(self, store, clock):
        app = create_app(store, access=ACCOUNTS)
        for _ in range(15):
            Visitor(app).sign_in("bob", "wrong password")
        clock.now += 15 * 60
        assert Visitor(app).sign_in("bob", "wrong password").status_code == 403

    def test_who_is_signed_in_is_not_affected(self, store):
        add_person(store, "bob")
        app = create_app(store, access=ACCOUNTS)
        bob = Visitor(app)
        bob.sign_in("bob")
        for _ in range(11):
            Visitor(app).sign_in("bob", "wrong password")
        assert bob.get("/audit").status_code == 403  # known, and no admin


class TestInvites:
    def invited(self, store, name="bob", role="annotator") -> str:
        add_annotator(store, name, role, by=Actor())
        return f"/invite/{invite(store, name, by=Actor())}"

    def test_it_sets_a_password_and_signs_in_once(self, store):
        path = self.invited(store)
        app = create_app(store, access=ACCOUNTS)
        visitor = Visitor(app)
        assert "Welcome, <bdi>bob</bdi>" in visitor.get(path).text
        assert visitor.get(path).status_code == 200  # looking does not use it up
        answer = visitor.post_form(path, password=PASSWORD, again=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert visitor.get("/login").headers["location"] == "/"
        assert Visitor(app).get(path).status_code == 404
        again = Visitor(app)
        again.get("/login")
        assert again.post_form(path, password="another password", again="another password").status_code == 404
        assert Visitor(app).sign_in("bob").status_code == 303
        assert [action for action, _ in actions(store)[:4]] == [
            "annotator_added", "invited", "password_set", "signed_in",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("password", "again", "said"),
        [
            ("nine chars", "nine char", "differ"),
            ("ninechars", "ninechars", "at least 10"),
            ("", "", "at least 10"),
            ("bobbobbobbob", "bobbobbobbob", "guessed at once"),
            ("x" * 1001, "x" * 1001, "at most 1000"),
        ],
    )
    def test_weak_and_mistyped_passwords_leave_it_open(self, store, password, again, said):
        path = self.invited(store)
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.get(path)
        answer = visitor.post_form(path, password=password, again=again)
        assert answer.status_code == 400
        assert said in answer.text
        assert visitor.post_form(path, password=PASSWORD, again=PASSWORD).status_code == 303

    def test_it_ends(self, store, clock):
        path = self.invited(store)
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.get(path)
        clock.now += 7 * 24 * 3600 + 1
        assert visitor.get(path).status_code == 404
        assert visitor.post_form(path, password=PASSWORD, again=PASSWORD).status_code == 404

    def test_a_new_one_ends_the_earlier_one_and_all_sessions_when_it_is_used(self, store):
        path = self.invited(store)
        set_password(store, "bob", PASSWORD, by=Actor())
        app = create_app(store, access=ACCOUNTS)
        assert Visitor(app).get(path).status_code == 404
        first, second = (f"/invite/{invite(store, 'bob', by=Actor())}" for _ in range(2))
        at_work = Visitor(app)
        at_work.sign_in("bob")
        visitor = Visitor(app)
        assert visitor.get(first).status_code == 404
        visitor.get(second)
        assert at_work.get("/login").status_code == 303  # forgotten is not yet changed
        assert visitor.post_form(second, password="a new password", again="a new password").status_code == 303
        assert at_work.get("/login").status_code == 200
        assert Visitor(app).sign_in("bob").status_code == 403

    def test_of_two_at_once_one_gets_in(self, store, monkeypatch):
        """The second one reads the form's invite as open, and finds it used when it writes."""
        path = self.invited(store)
        app = create_app(store, access=ACCOUNTS)
        slow, fast = Visitor(app), Visitor(app)
        slow.get(path)
        fast.get(path)
        import posttrain.web.people.sign_in as module

        plain = module.hash_of_password

        def hash_while_another_is_faster(password, *, name):
            monkeypatch.setattr(module, "hash_of_password", plain)
            assert fast.post_form(path, password="the faster one", again="the faster one").status_code == 303
            return plain(password, name=name)

        monkeypatch.setattr(module, "hash_of_password", hash_while_another_is_faster)
        assert slow.post_form(path, password="the slower one", again="the slower one").status_code == 404
        assert slow.cookie("session") is None
        assert Visitor(app).sign_in("bob", "the faster one").status_code == 303

    def test_guesses_are_limited(self, store):
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        assert [visitor.get(f"/invite/guess{n}").status_code for n in range(31)] == [404] * 30 + [429]


class TestSessions:
    def test_a_disabled_person_is_out_at_once(self, store):
        add_person(store, "bob", "reviewer")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        disable(store, "bob", by=Actor())
        assert visitor.get("/api/next").status_code == 401
        with store.reading() as connection:
            assert connection.execute(select(web_sessions)).all() == []

    def test_not_even_a_session_that_was_left_lets_a_disabled_person_in(self, store):
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        with store.writing() as connection:
            connection.execute(annotators.update().values(disabled_at=1.0))
        assert visitor.get("/api/next").status_code == 401

    def test_a_role_holds_from_the_next_request(self, store):
        add_person(store, "bob", "admin")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        assert visitor.get("/annotators").status_code == 200
        change_role(store, "bob", "annotator", by=Actor())
        assert visitor.get("/annotators").status_code == 403
        assert visitor.post_form("/annotators/add", name="eve", role="admin").status_code == 403

    def test_it_ends_when_it_is_not_used_and_lasts_while_it_is(self, store, clock):
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        for _ in range(5):
            clock.now += 23 * 3600
            assert visitor.get("/login").status_code == 303
        clock.now += 24 * 3600 + 1
        assert visitor.get("/login").status_code == 200
        assert visitor.get("/api/next").json()["code"] == "signed_out"

    def test_signing_out_ends_it_for_good(self, store):
        add_person(store, "bob")
        visitor = Visitor(create_app(store, access=ACCOUNTS))
        visitor.sign_in("bob")
        kept = visitor.cookie("session")
        answer = visitor.post_form("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        # What was not sent yet stays in the browser, under the person's name, until they sign in again.
        assert "clear-site-data" not in answer.headers
        assert visitor.cookie("session") is None
        headers = {"Cookie": f"posttrain-session-8042={kept}"}
        assert visitor.client.get("/rank", headers=headers).status_code == 303
        assert actions(store)[-1] == ("signed_out", "bob")

    def test_it_cannot_be_ended_by_a_link(self, store):
        visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
        assert visitor.get("/logout").status_code == 405
        assert visitor.get("/annotators").status_code == 200

    def test_behind_https_cookies_never_go_over_plain_http(self, store):
        add_person(store, "bob")
        access = Access.accounts(hosts=("rank.example.org",), is_https=True)
        visitor = Visitor(create_app(store, access=access), host="rank.example.org")
        visitor.client.base_url = "https://rank.example.org"
        visitor.origin = "https://rank.example.org"
        answer = visitor.sign_in("bob")
        assert answer.status_code == 303
        session = next(c for c in answer.headers.get_list("set-cookie") if "session" in c)
        assert session.startswith("__Host-posttrain-session-8042=")
        assert "Secure" in session
        assert "Path=/" in session
