"""The pages about people in Debian's Chromium: nothing that axe calls serious, in light and dark, on a phone too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.ranking.live_server import free_port, live_server
from tests.web.visitor import PASSWORD, TOKEN, add_person

from posttrain.preferences.store.audit import Actor, note_alone
from posttrain.preferences.store.invites import invite
from posttrain.preferences.store.people import add_annotator
from posttrain.web.access import Access
from posttrain.web.app import create_app

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no tests of the pages"
    )
    if not CHROMIUM.exists():
        pytest.skip(
            f"{CHROMIUM} is not there (Debian's package chromium): no tests of the pages in a browser"
        )
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def url(store) -> Iterator[str]:
    port = free_port()
    with live_server(
        create_app(store, access=Access.local(token=TOKEN, annotator="alice", port=port)), port
    ) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_serious_and_nothing_beside_the_screen(store, url, chromium, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    add_person(store, "bob with a rather long name of his own", "reviewer")
    add_annotator(store, "carol", "annotator", by=Actor())
    path = f"/invite/{invite(store, 'carol', by=Actor())}"
    note_alone(store, "exported", by=Actor(address="2001:db8:1:2:3:4:5:6"), subject="a" * 80 + ".jsonl")
    context = chromium.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    page, problems = context.new_page(), []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    seen = []

    def look() -> None:
        seen.append(page.title())
        found = axe.Axe().run(page).response["violations"]
        assert [one for one in found if one["impact"] in ("serious", "critical")] == [], page.url
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{page.url} is {wide} pixels wider than the screen"

    for address in ("/login", path):
        page.goto(url + address)
        look()
    page.goto(f"{url}/open?token={TOKEN}")
    assert TOKEN not in page.url
    page.goto(f"{url}/annotators")
    look()
    page.get_by_label("Name", exact=True).fill("dave")
    page.get_by_role("button", name="Add and invite").press("Enter")
    assert "/invite/" in page.locator("#invite").inner_text()
    look()
    page.goto(f"{url}/audit")
    look()
    assert problems == []  # the content policy lets through all that the pages need
    assert page.goto(f"{url}/nothing").status == 404
    look()
    assert len(set(seen)) == 5
    context.close()


@pytest.mark.slow
def test_the_way_of_an_invited_person_through_a_real_browser(store, url, chromium):
    """Form posts of a browser carry the Origin and the cookies that the server asks for."""
    add_annotator(store, "carol", "annotator", by=Actor())
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/invite/{invite(store, 'carol', by=Actor())}")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/rank")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{url}/login")
    page.goto(f"{url}/quality")
    assert page.url == f"{url}/login?next=%2Fquality"
    page.get_by_label("Name").fill("Carol")
    page.get_by_label("Password").fill("wrong password")
    page.keyboard.press("Enter")
    assert "do not belong together" in page.get_by_role("alert").inner_text()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("signed in as carol").wait_for()  # /quality is for reviewers, and says so
    context.close()


@pytest.mark.slow
def test_a_form_of_another_site_changes_nothing(store, url, chromium):
    """Another port of this machine is another origin, though browsers hold it for the same site and send cookies."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/open?token={TOKEN}")
    token = page.get_attribute('meta[name="csrf-token"]', "content")
    form = (
        f'<form method=post action="{url}/annotators/add"><input name=name value=mallory><input name=role value=admin>'
        f'<input name=csrf_token value="{token}"><button>x</button></form>'
    )
    context.route("http://127.0.0.1:1/**", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://127.0.0.1:1/evil")
    page.click("button")
    assert "comes from another site" in page.locator("main").inner_text()
    page.goto(f"{url}/annotators")
    assert "mallory" not in page.locator("main").inner_text()
    context.close()
