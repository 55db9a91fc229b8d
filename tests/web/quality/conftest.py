"""The browser of the ranking page's tests, and a server with a team's store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.web.quality.example_store import fill
from tests.web.ranking.conftest import chromium as chromium
from tests.web.ranking.live_server import TOKEN, free_port, live_server

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.people import person_at_this_machine
from posttrain.web.access import Access
from posttrain.web.app import create_app


@pytest.fixture
def browse(store, chromium) -> Iterator[Any]:
    """`browse(width, height)`: a page signed in at a server whose store a team filled, and what it complained of."""
    person_at_this_machine(store, "rhea", by=Actor())
    fill(store, num_items=36)
    port = free_port()
    contexts = []
    with live_server(
        create_app(store, access=Access.local(token=TOKEN, annotator="rhea", port=port)), port
    ) as url:

        def open_page(width: int = 1200, height: int = 900, scheme: str = "light") -> tuple[Any, list[str]]:
            contexts.append(
                chromium.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, base_url=url
                )
            )
            page = contexts[-1].new_page()
            page.set_default_timeout(10_000)
            errors: list[str] = []
            page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"/open?token={TOKEN}")
            return page, errors

        yield open_page
        for context in contexts:
            context.close()
