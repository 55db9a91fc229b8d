"""The names that the server answers to: against pages whose name is pointed at this machine."""

from __future__ import annotations

import socket

import pytest
from starlette.websockets import WebSocketDisconnect
from tests.web.visitor import ACCOUNTS, LOCAL, Visitor

from posttrain.web.access import Access
from posttrain.web.app import create_app
from posttrain.web.host_check import may_be_called

ANYWHERE = ["127.0.0.1", "127.0.0.1:8042", "localhost:9000", "LOCALHOST", "[::1]:8042", "localhost."]
ELSEWHERE = ["192.0.2.1:8042", "[2001:db8::1]"]
NOWHERE = [
    "", "evil.example", "127.0.0.1.evil.example", "evil.example:8042", "127.0.0.1:8042:80", "127.0.0.1@evil.example",
    "a b", "127.0.0.1\tx", "localhost.evil.example", "[::1", "2130706433.evil.example", "127.0.0.1/", "0x7f.1.example",
]  # fmt: skip


@pytest.mark.parametrize("access", [LOCAL, ACCOUNTS], ids=["local", "accounts"])
def test_names_that_hold(access):
    assert [host for host in ANYWHERE if not may_be_called(host, access)] == []
    assert [host for host in NOWHERE if may_be_called(host, access)] == []
    assert [may_be_called(host, access) for host in ELSEWHERE] == [not access.is_local] * 2


def test_names_that_are_let_in():
    assert may_be_called("Rank.example.org", Access.accounts(hosts=("rank.EXAMPLE.org",)))
    assert not may_be_called("x.rank.example.org", Access.accounts(hosts=("rank.example.org",)))
    assert may_be_called(f"{socket.gethostname()}:8042", ACCOUNTS)


def test_a_rebound_name_gets_nothing_not_even_with_the_cookie(store):
    visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    session = visitor.cookie("session")
    headers = {"Host": "evil.example", "Cookie": f"posttrain-session-8042={session}"}
    for path in ("/annotators", "/static/page.css", "/login", "/api/next"):
        answer = visitor.client.get(path, headers=headers)
        assert answer.status_code == 421
        assert "content-security-policy" in answer.headers
        assert "csrf" not in answer.headers
    assert "let this name in" in visitor.client.get("/login", headers=headers).text


@pytest.mark.parametrize("host", [*NOWHERE, "[::1/api/", "x/api/", "\xe9.example", "a" * 3000])
def test_whatever_the_host_header_says_the_answer_is_a_refusal(store, host):
    visitor = Visitor(create_app(store, access=LOCAL))
    for path in ("/login", "/api/next", "/static/page.css"):
        answer = visitor.client.get(path, headers={"Host": host.encode("latin-1")})
        assert answer.status_code == 421
        assert answer.headers["content-type"].startswith("application/json" if "api" in path else "text/html")


def test_a_host_header_that_is_no_name_is_shown_harmless(store):
    headers = {"Host": "<script>alert(1)</script>"}
    answer = Visitor(create_app(store, access=LOCAL)).client.get("/login", headers=headers)
    assert answer.status_code == 421
    assert "<script>" not in answer.text


def test_websockets_are_closed(store):
    client = Visitor(create_app(store, access=LOCAL)).client
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/rank"):
        pass
    assert closed.value.code == 1008
