"""A browser without a screen: keeps cookies and sends the CSRF token of the page it saw last."""

from __future__ import annotations

import re
from typing import Any

from starlette.testclient import TestClient

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.items import get_item
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.people_changes import set_password
from posttrain.web.access import Access

PASSWORD = "four words for tests"
TOKEN = "printed-token-of-the-tests"
LOCAL = Access.local(token=TOKEN, annotator="alice")
ACCOUNTS = Access.accounts()


class Visitor:
    """Asks an app as a browser on its own page does. `headers` of a call replace what the browser would say."""

    def __init__(self, app: Any, *, host: str = "127.0.0.1:8042", address: str = "192.0.2.7") -> None:
        self.client = TestClient(
            app,
            base_url=f"http://{host}",
            follow_redirects=False,
            client=(address, 40000),
            raise_server_exceptions=False,
        )
        self.origin = f"http://{host}"
        self.csrf_token = ""

    def get(self, path: str, **headers: str) -> Any:
        """The answer; a token in it is remembered."""
        return self._seen(self.client.get(path, headers=_spelled(headers)))

    def post_form(self, path: str, *, headers: dict[str, str] | None = None, **fields: str) -> Any:
        """A form of our own page."""
        data = {"csrf_token": self.csrf_token, **fields}
        return self._seen(self.client.post(path, data=data, headers={**self._own(), **(headers or {})}))

    def post_json(self, path: str, body: Any, **headers: str) -> Any:
        """What a script of our own page sends."""
        sent = {**self._own(), "X-CSRF-Token": self.csrf_token, **_spelled(headers)}
        return self._seen(self.client.post(path, json=body, headers=sent))

    def open_printed_address(self) -> Visitor:
        """Comes in by the address that the terminal shows."""
        assert self.get(f"/open?token={TOKEN}").status_code == 303
        self.get("/annotators")
        return self

    def sign_in(self, name: str, password: str = PASSWORD, target: str = "/") -> Any:
        """Fills in the sign-in form; the answer to it."""
        self.get("/login")
        answer = self.post_form("/login", name=name, password=password, next=target)
        if answer.status_code == 303:
            self.get("/audit")  # a page with a token, whatever the role: a refusal has one too
        return answer

    def path_of(self, item_id: int, rest: str = "") -> str:
        """The address of an item of the app's store, which has a random number in it."""
        return f"/api/items/{get_item(self.client.app.state.store, item_id).public_id}{rest}"  # type: ignore[attr-defined]

    def cookie(self, what: str) -> str | None:
        """The value of the cookie of a session or a visit."""
        return self.client.cookies.get(f"posttrain-{what}-8042")

    def _own(self) -> dict[str, str]:
        return {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}

    def _seen(self, answer: Any) -> Any:
        if found := re.search(r'<meta name="csrf-token" content="(\w*)">', answer.text):
            self.csrf_token = found[1]
        return answer


def add_person(store: Store, name: str, role: str = "annotator", password: str = PASSWORD) -> int:
    """Somebody who can sign in; their number."""
    person = add_annotator(store, name, role, by=Actor())
    set_password(store, name, password, by=Actor())
    return person.annotator_id


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
