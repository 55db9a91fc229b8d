"""The real command as a process: it prints an address, serves it, and stops by Ctrl-C; and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from html import unescape
from http.cookiejar import CookieJar

import pytest

from posttrain.cli import main
from posttrain.errors import ConfigError
from posttrain.preferences.store.audit import Actor, audit_entries
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.guidelines import current_guidelines
from posttrain.preferences.store.people import add_annotator, list_annotators
from posttrain.preferences.store.people_changes import set_password
from posttrain.preferences.store.settings import queue_settings
from posttrain.web.server import base_url, is_this_machine, listen


@pytest.fixture
def store_file(tmp_path):
    path = tmp_path / "store.db"
    open_store(path, must_exist=False).close()
    return path


class Running:
    """`posttrain rank ...` in a process of its own, once it has printed its address."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posttrain", "rank", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self.said, self.address = "", ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.startswith("http"):
                self.address = line.strip()
                return
        raise AssertionError(self.said)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self, number: int) -> tuple[int, str]:
        """The exit status after this signal, and what was printed since the address."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


def browser() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )


@pytest.mark.slow
def test_the_printed_address_opens_the_page_until_ctrl_c(store_file, tmp_path):
    told = tmp_path / "guidelines.md"
    told.write_text("Prefer **true** answers.\n", encoding="utf-8")
    words = (
        "--port",
        "0",
        "--annotator",
        "alice",
        "--overlap",
        "2",
        "--lease-minutes",
        "5",
        "--guidelines",
        str(told),
        "--tags",
        "to the point,wrong",
    )
    with Running(str(store_file), *words) as running:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/open\?token=[\w-]{43}", running.address)
        assert "you rank as alice" in running.said
        assert "the store is empty" in running.said
        opener = browser()
        answer = opener.open(running.address, timeout=60)
        assert answer.url == running.address.partition("/open")[0] + "/rank"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Server"] is None
        html = answer.read().decode()
        assert "alice" in html
        assert '["to the point", "wrong"]' in unescape(html)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            browser().open(running.address + "x", timeout=60)
        with pytest.raises(urllib.error.HTTPError, match="421"):
            browser().open(
                urllib.request.Request(running.address, headers={"Host": "evil.example"}), timeout=60
            )
        code, rest = running.stop(signal.SIGINT)
    assert code == 0
    assert rest == "stopped; every judgement that was acknowledged is stored\n"
    with open_store(store_file) as store:
        settings = queue_settings(store)
        assert (settings.overlap, settings.lease_seconds, settings.gold_every) == (2, 300.0, 0)
        assert current_guidelines(store).text == "Prefer **true** answers."
        actions = [entry.action for entry in reversed(audit_entries(store))]
        assert actions == [
            "annotator_added", "settings_changed", "settings_changed", "guidelines_published", "signed_in", "sign_in_failed",
        ]  # fmt: skip


@pytest.mark.slow
def test_a_server_for_all_networks_asks_for_a_name_and_ends_by_sigterm(store_file, capsys):
    words = ["--store", str(store_file)]
    main(["annotators", "add", "root", "--role", "admin", "--address", "http://localhost:1", *words])
    invite = capsys.readouterr().out.splitlines()[-1].partition("/invite/")[2]
    with Running(str(store_file), "--host", "0.0.0.0", "--port", "0") as running:
        assert "people sign in" in running.said
        assert "token" not in running.address
        local = f"http://127.0.0.1:{running.address.rstrip('/').rpartition(':')[2]}"
        answer = browser().open(local, timeout=60)
        assert answer.url == f"{local}/login"
        assert "root" in browser().open(f"{local}/invite/{invite}", timeout=60).read().decode()
        code, rest = running.stop(signal.SIGTERM)
    assert (code, rest) == (0, "stopped; every judgement that was acknowledged is stored\n")


@pytest.mark.slow
@pytest.mark.parametrize("believed", [True, False])
def test_the_address_behind_a_proxy_is_believed_from_that_proxy_alone(store_file, believed):
    with open_store(store_file) as store:
        add_annotator(store, "root", "admin", by=Actor())
        set_password(store, "root", "four words for tests", by=Actor())
    proxy = "127.0.0.1" if believed else "192.0.2.1"
    words = ("--https-proxy", proxy, "--hosts", "rank.example.org", "--port", "0")
    with Running(str(store_file), *words) as running:
        assert running.address == "https://rank.example.org/"
        port = re.search(r"port (\d+)", running.said)[1]
        headers = {"Host": "rank.example.org", "X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https"}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            browser().open(
                urllib.request.Request(f"http://127.0.0.1:{port}/invite/x", headers=headers), timeout=60
            )
    with open_store(store_file) as store:
        entry = audit_entries(store)[0]
    assert (entry.action, entry.address) == ("sign_in_failed", "203.0.113.5" if believed else "127.0.0.1")


def refused(words: list[str], capsys) -> str:
    """What a command that cannot work says, without a traceback."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


class TestRefusals:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_other_machines_without_annotators(self, store_file, host, capsys):
        said = refused(["rank", str(store_file), "--host", host], capsys)
        assert f"posttrain annotators add NAME --role admin --store {store_file}" in said
        assert "--host 127.0.0.1" in said
        with open_store(store_file) as store:
            assert list_annotators(store) == []

    def test_other_machines_with_people_who_cannot_sign_in(self, store_file, capsys):
        with open_store(store_file) as store:
            add_annotator(store, "bob", "admin", by=Actor())
        assert "nobody could sign in" in refused(["rank", str(store_file), "--host", "0.0.0.0"], capsys)

    def test_a_proxy_without_annotators(self, store_file, capsys):
        words = ["rank", str(store_file), "--https-proxy", "127.0.0.1", "--hosts", "rank.example.org"]
        assert "posttrain annotators add" in refused(words, capsys)

    def test_a_proxy_without_its_name(self, store_file, capsys):
        assert "Set hosts" in refused(["rank", str(store_file), "--https-proxy", "127.0.0.1"], capsys)

    def test_a_password_in_the_stores_address_is_not_repeated(self):
        from posttrain.commands.rank import _nobody_can_sign_in
        from posttrain.config.rank_page import RankPageConfig

        config = RankPageConfig(store="postgresql://me:hidden@host/db", host="0.0.0.0")
        assert "hidden" not in _nobody_can_sign_in(config)

    def test_no_store(self, tmp_path, capsys):
        said = refused(["rank", str(tmp_path / "stroe.db")], capsys)
        assert "there is no store" in said
        assert "posttrain store import" in said
        assert list(tmp_path.iterdir()) == []
        assert "store is not set" in refused(["rank"], capsys)

    def test_a_file_that_is_no_store(self, tmp_path, capsys):
        (tmp_path / "notes.txt").write_text("not a store " * 100)
        assert "notes.txt" in refused(["rank", str(tmp_path / "notes.txt")], capsys)

    def test_a_port_in_use(self, store_file, capsys):
        with listen("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            said = refused(["rank", str(store_file), "--port", str(port), "--overlap", "3"], capsys)
        assert f"port {port} of 127.0.0.1 is in use" in said
        assert "--port 0 takes a free one" in said
        with open_store(store_file) as store:
            assert queue_settings(store).overlap == 1  # what is refused changes nothing

    def test_hosts_that_are_not_this_machines(self, store_file, capsys):
        assert "is not known" in refused(["rank", str(store_file), "--host", "no such host"], capsys)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--port", "70000"], "port"),
            (["--overlap", "0"], "overlap"),
            (["--gold-every", "-1"], "gold_every"),
            (["--session-hours", "0"], "session_hours"),
            (["--guidelines", "/nowhere/guidelines.md"], "cannot be read"),
            (["--annotator", "<b>"], "cannot be an annotator's name"),
            (["--tags", "a,b,a"], "'a' is there twice"),
            (["--hots", "x"], "Did you mean 'hosts'"),
        ],
    )
    def test_settings_out_of_range(self, store_file, words, said, capsys):
        assert said in refused(["rank", str(store_file), "--port", "0", *words], capsys)

    def test_empty_guidelines(self, store_file, tmp_path, capsys):
        (tmp_path / "empty.md").write_text("\n")
        assert "is empty" in refused(
            ["rank", str(store_file), "--guidelines", str(tmp_path / "empty.md")], capsys
        )


class TestListening:
    def test_this_machine(self):
        assert is_this_machine("127.0.0.1")
        assert is_this_machine("localhost")
        assert is_this_machine("127.8.8.8")
        assert is_this_machine("::1")
        assert not is_this_machine("0.0.0.0")
        assert not is_this_machine("::")
        assert not is_this_machine("192.0.2.1")

    def test_addresses_to_open(self):
        assert base_url("127.0.0.1", 8042) == "http://127.0.0.1:8042"
        assert base_url("::1", 8042) == "http://[::1]:8042"
        assert base_url("0.0.0.0", 8042) == f"http://{socket.gethostname()}:8042"

    def test_an_address_of_somebody_else(self):
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1 is no address of this machine"):
            listen("192.0.2.1", 0)

    def test_answers_do_not_wait_for_acknowledgements(self):
        with (
            listen("127.0.0.1", 0) as listening,
            socket.create_connection(listening.getsockname(), timeout=20),
            listening.accept()[0] as accepted,
        ):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
