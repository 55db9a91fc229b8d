"""Every route says who may use it, and nobody else gets through, whatever they send."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.web.visitor import ACCOUNTS, LOCAL, Visitor, add_person

from posttrain import web
from posttrain.errors import DataError
from posttrain.preferences.store.failures import StoreUnavailable
from posttrain.web.access import ROLES, may
from posttrain.web.app import app_of_routes, create_app
from posttrain.web.bodies import form_body, json_body, read_body
from posttrain.web.csrf import SAFE_METHODS
from posttrain.web.refusals import Refusal
from posttrain.web.routes import secured
from posttrain.web.static_files import static_file


def hello(request):
    return PlainTextResponse(f"hello {request.state.annotator}")


def local_app_with(store, route):
    """The whole app with one route more."""
    return app_of_routes([*create_app(store, access=LOCAL).routes, route], store, LOCAL)


@pytest.mark.parametrize("route", [Route("/open-to-all", hello), Mount("/files", routes=[])])
def test_an_app_with_a_route_that_does_not_say_who_may_use_it_does_not_start(store, route):
    with pytest.raises(TypeError, match="does not say who may use it"):
        app_of_routes([secured("/", hello, role="annotator"), route], store, LOCAL)


def test_a_role_that_does_not_exist_is_refused_at_the_start():
    with pytest.raises(ValueError, match="'reader' is no role"):
        secured("/", hello, role="reader")


def declared(app):
    """Every method and path of the app, with 1 in the place of numbers and words."""
    for route in app.routes:
        path = re.sub(r"\{[^}]*\}", "1", route.path)
        for method in sorted(route.methods - {"HEAD"}):
            yield route, method, path


@pytest.mark.parametrize("who", ["nobody", "annotator", "reviewer", "admin"])
def test_each_route_lets_in_its_role_and_those_above_alone(store, who):
    app = create_app(store, access=ACCOUNTS)
    visitor = Visitor(app)
    if who != "nobody":
        add_person(store, who, who)
        add_person(store, "another admin", "admin")
        assert visitor.sign_in(who).status_code == 303
    routes = [one for one in declared(app) if one[2] != "/logout"]
    assert len(routes) >= 20
    assert {route.role for route, _, _ in routes} >= {"anyone", "annotator", "admin"}
    for route, method, path in routes:
        answer = visitor.client.get(path) if method in SAFE_METHODS else visitor.post_form(path)
        if route.role == "anyone":
            continue
        if who == "nobody":
            assert answer.status_code == (401 if path.startswith("/api/") else 303), path
            assert path.startswith("/api/") or answer.headers["location"].startswith("/login")
        elif not may(who, needs=route.role):
            assert answer.status_code == 403, (method, path)
            assert f"signed in as {who}" in answer.text
        else:
            assert answer.status_code not in (401, 403), (method, path, answer.text)


def test_changes_need_the_token_of_the_session_on_every_route(store):
    app = create_app(store, access=LOCAL)
    visitor = Visitor(app).open_printed_address()
    other = Visitor(app).open_printed_address()
    unsafe = [(method, path) for _, method, path in declared(app) if method not in SAFE_METHODS]
    assert len(unsafe) >= 8
    for method, path in unsafe:
        for token in ("", "0" * 64, other.csrf_token, visitor.csrf_token[:-1]):
            answer = visitor.client.request(
                method, path, headers={"X-CSRF-Token": token, "Origin": visitor.origin}
            )
            assert answer.status_code == 403, (path, token)
            assert "out of date" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8042.evil.example"},
        {"Origin": "http://127.0.0.1:8042@evil.example"},
        {"Origin": "http://[::1"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_other_sites_change_nothing_even_with_the_token(store, headers):
    app = app_of_routes([secured("/change", hello, role="anyone", methods=["POST"])], store, LOCAL)
    visitor = Visitor(app)
    answer = visitor.client.post("/change", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_a_program_that_is_no_browser_needs_session_and_token_alone(store):
    visitor = Visitor(create_app(store, access=LOCAL)).open_printed_address()
    data = {"csrf_token": visitor.csrf_token, "name": "bob", "role": "annotator"}
    assert visitor.client.post("/annotators/add", data=data).status_code == 200


def test_a_link_from_another_site_is_opened_by_a_second_request_of_our_own(store):
    """SameSite=Strict: the browser does not send the session with the first one."""
    visitor = Visitor(create_app(store, access=ACCOUNTS))
    answer = visitor.get("/annotators", Sec_Fetch_Site="cross-site")
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0"' in answer.text
    assert visitor.get("/annotators", Sec_Fetch_Site="same-origin").status_code == 303


@pytest.mark.parametrize(
    "path", ["/login", "/static/page.css", "/nothing", "/api/nothing", "/annotators", "/boom"]
)
def test_security_headers_stand_on_every_answer(store, path):
    def boom(request):
        raise RuntimeError("an error of ours")

    app = local_app_with(store, secured("/boom", boom, role="anyone"))
    answer = Visitor(app).get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cache-control"] == ("no-cache" if path == "/static/page.css" else "no-store")
    assert "server" not in answer.headers
    assert "an error of ours" not in answer.text


def test_an_error_of_ours_says_so_without_saying_what(store):
    def boom(request):
        raise RuntimeError("secret detail")

    routes = [secured("/boom", boom, role="anyone"), secured("/api/boom", boom, role="anyone")]
    visitor = Visitor(app_of_routes(routes, store, LOCAL))
    assert visitor.get("/boom").status_code == 500
    answer = visitor.get("/api/boom")
    assert answer.status_code == 500
    assert answer.json()["code"] == "failure"
    assert "secret detail" not in answer.text


def test_a_store_that_does_not_answer_is_said_and_may_be_tried_again(store, monkeypatch):
    def away(*_, **__):
        raise StoreUnavailable("store.db could not be read: the disk is full")

    app = create_app(store, access=LOCAL)
    visitor = Visitor(app).open_printed_address()
    monkeypatch.setattr("posttrain.web.identity.session_holder", away)
    answer = visitor.get("/api/next")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_away")
    assert answer.headers["retry-after"] == "3"
    assert "Nothing was saved" in visitor.get("/login").text


def test_errors_of_posttrain_are_answered_as_sentences(store):
    def fail(request):
        raise DataError("this cannot be used")

    app = local_app_with(store, secured("/api/fail", fail, role="anyone"))
    answer = Visitor(app).get("/api/fail")
    assert (answer.status_code, answer.json()) == (400, {"error": "This cannot be used.", "code": "invalid"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"a": 1}', 200),
        (b'{"a": 1' + b" " * 2000 + b"}", 413),
        (b"[1]", 400),
        (b"{", 400),
        (b'{"a": NaN}', 400),
        (b"[" * 900, 400),
        (b'{"a": "\xff"}', 400),
        (b'{"a": ' + b"9" * 900 + b"}", 200),
    ],
)
def test_bodies_are_objects_of_a_limited_size(store, body, status):
    def read(request):
        return PlainTextResponse(str(sorted(json_body(request))))

    app = local_app_with(
        store, secured("/api/read", read, role="annotator", methods=["POST"], max_body_bytes=1000)
    )
    visitor = Visitor(app).open_printed_address()
    headers = {"X-CSRF-Token": visitor.csrf_token, "Content-Type": "application/json"}
    assert visitor.client.post("/api/read", content=body, headers=headers).status_code == status
    # The same without a Content-Length: what arrives is counted.
    chunks = (body[i : i + 100] for i in range(0, len(body), 100))
    assert visitor.client.post("/api/read", content=chunks, headers=headers).status_code == status
    headers["Content-Type"] = "text/plain"  # what another site's form could send
    assert visitor.client.post("/api/read", content=b"{}", headers=headers).status_code == 415


def test_deeply_nested_json_is_refused(store):
    def read(request):
        return PlainTextResponse(str(json_body(request)))

    app = local_app_with(store, secured("/api/read", read, role="annotator", methods=["POST"]))
    visitor = Visitor(app).open_printed_address()
    headers = {"X-CSRF-Token": visitor.csrf_token, "Content-Type": "application/json"}
    answer = visitor.client.post("/api/read", content=b'{"a":' * 40_000, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"


def test_a_body_that_does_not_arrive_is_given_up(store, monkeypatch):
    monkeypatch.setattr("posttrain.web.bodies.SECONDS_TO_ARRIVE", 0.05)

    async def stalled():
        await anyio.sleep(30)

    request = Request({"type": "http", "method": "POST", "headers": []}, stalled)
    with pytest.raises(Refusal, match="did not arrive in time"):
        anyio.run(read_body, request, 1000)


def test_forms_take_the_first_of_two_fields_and_refuse_what_is_no_text(store):
    def read(request):
        return PlainTextResponse(form_body(request).get("name", "-"))

    app = local_app_with(store, secured("/read", read, role="annotator", methods=["POST"]))
    visitor = Visitor(app).open_printed_address()
    headers = {"X-CSRF-Token": visitor.csrf_token, "Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.client.post("/read", content=b"name=a&name=b", headers=headers).text == "a"
    assert visitor.client.post("/read", content=b"name=%FF", headers=headers).status_code == 400
    assert visitor.client.post("/read", content=b"&a=1" * 200, headers=headers).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd",
        "/static/%00", "/static/", "/static/templates/login.html", "/static/page.css/",
    ],
)  # fmt: skip
def test_static_serves_its_own_files_alone(store, path):
    assert Visitor(create_app(store, access=LOCAL)).get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["../app.py", "./page.css", "x/../page.css", "/etc/passwd", "", "..", "page.css\0"]
)
def test_static_takes_no_way_around(path):
    """As the server hands it over: browsers and test clients tidy such paths before they send them."""
    with pytest.raises(Refusal):
        static_file(Request({"type": "http", "headers": [], "path_params": {"path": path}}))


def test_an_unchanged_static_file_costs_no_bytes(store):
    visitor = Visitor(create_app(store, access=LOCAL))
    first = visitor.get("/static/page.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    again = visitor.get("/static/page.css", If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


def test_static_files_are_read_once(store, monkeypatch):
    folder = Path(web.__file__).parent / "static"
    expected = {name: (folder / name).read_bytes() for name in ("page.css", "ranking/ranks.js")}
    visitor = Visitor(create_app(store, access=LOCAL))
    for reading in ("rglob", "read_bytes"):
        monkeypatch.setattr(Path, reading, None)
    assert {name: visitor.get(f"/static/{name}").content for name in expected} == expected


def test_unknown_paths_and_methods(store):
    visitor = Visitor(create_app(store, access=LOCAL))
    assert visitor.get("/nothing").status_code == 404
    assert visitor.get("/login/").status_code == 404  # no redirect that repeats the Host header
    assert visitor.get("/api/nothing").json() == {
        "error": "There is no such page. It may have moved, or the address may be mistyped.",
        "code": "unknown",
    }
    assert visitor.client.put("/login").status_code == 405


def test_roles_are_in_order():
    assert ROLES == ("anyone", "annotator", "reviewer", "admin")
    assert may("admin", needs="reviewer")
    assert not may("reviewer", needs="admin")
    assert not may("a role of tomorrow", needs="annotator")
    assert may("a role of tomorrow", needs="anyone")
