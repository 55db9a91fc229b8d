"""A store with items, a server in front of it, and Debian's Chromium. Without the browser these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.web.ranking.live_server import TOKEN, free_port, live_server

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.items import add_items, get_item
from posttrain.preferences.store.judgements import current_judgements
from posttrain.preferences.store.people import person_at_this_machine
from posttrain.preferences.store.records import Judgement, NewItem
from posttrain.web.access import Access
from posttrain.web.app import create_app

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no tests of the page"
    )
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there (Debian's package chromium): no tests of the page in a browser")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Site:
    """A running server with its store. `errors` collects what browsers complained about."""

    store: Store
    url: str
    annotator_id: int
    errors: list[str]
    new_page: Callable[..., Any]

    def judgements(self) -> list[Judgement]:
        return list(current_judgements(self.store))

    def address_of(self, item_id: int) -> str:
        """The page with that item of the store."""
        return f"{self.url}/rank?item={get_item(self.store, item_id).public_id}"

    def open(self, **options: Any) -> Any:
        """A page signed in by the printed address, with the first item in view."""
        page = self.new_page(**options)
        page.goto(f"{self.url}/open?token={TOKEN}")
        page.wait_for_selector(".card, .nothing-left")
        return page


@pytest.fixture
def start_site(tmp_path: Path, chromium: Any) -> Iterator[Callable[..., Site]]:
    """Starts a server with these items: `start_site(items, **settings of the browser)`."""
    closing: list[Callable[[], Any]] = []

    def start(items: list[NewItem] | tuple[NewItem, ...]) -> Site:
        store = open_store(tmp_path / "store.db", must_exist=False)
        closing.append(store.close)
        add_items(store, items)
        person = person_at_this_machine(store, "alice", by=Actor())
        port = free_port()
        app = create_app(store, access=Access.local(token=TOKEN, annotator="alice", port=port))
        serving = live_server(app, port)
        url = serving.__enter__()
        closing.append(lambda: serving.__exit__(None, None, None))
        errors: list[str] = []

        def new_page(context: Any = None, **options: Any) -> Any:
            if context is None:
                context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
                closing.append(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
            return page

        return Site(store, url, person.annotator_id, errors, new_page)

    yield start
    for close in reversed(closing):
        close()


@pytest.fixture
def said() -> Callable[[Any], str]:
    """What was announced last to people who do not see the page."""
    return lambda page: page.locator("#announcer").inner_text().replace("\xa0", " ").strip()
