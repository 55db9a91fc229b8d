"""Takes the pictures of the page for the docs: `python -m tests.web.ranking.pictures docs/pictures`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from tests.web.ranking.example_items import EXAMPLES
from tests.web.ranking.live_server import TOKEN, free_port, live_server

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import open_store
from posttrain.preferences.store.items import add_items
from posttrain.preferences.store.people import person_at_this_machine
from posttrain.web.access import Access
from posttrain.web.app import create_app


def main(folder: Path) -> None:
    """Three pictures: a desk in light, a comparison, a phone in the dark."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_store(f"{temporary}/store.db", must_exist=False) as store,
    ):
        add_items(store, EXAMPLES)
        person_at_this_machine(store, "alice", by=Actor())
        port = free_port()
        app = create_app(store, access=Access.local(token=TOKEN, annotator="alice", port=port))
        with live_server(app, port) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            desk = _page(browser, url, viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
            _press(desk, "Home", "2", "ArrowRight", "1", "ArrowRight", "2", "ArrowRight")
            desk.evaluate("scrollTo(0, 0)")
            desk.wait_for_timeout(400)
            desk.screenshot(path=folder / "rank-page.png")
            _press(desk, "d")
            desk.wait_for_timeout(600)
            desk.screenshot(path=folder / "rank-page-compare.png")
            phone = _page(
                browser,
                url,
                viewport={"width": 360, "height": 740},
                color_scheme="dark",
                device_scale_factor=2,
            )
            phone.wait_for_timeout(400)
            phone.screenshot(path=folder / "rank-page-phone.png")
            browser.close()
    for picture in folder.glob("rank-page*.png"):
        Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)
        print(picture, picture.stat().st_size)
        assert picture.stat().st_size < 200_000, f"{picture} is too large for the docs"


def _page(browser: Any, url: str, **options: Any) -> Any:
    page = browser.new_context(**options).new_page()
    page.goto(f"{url}/open?token={TOKEN}")
    page.wait_for_selector(".card")
    page.get_by_role("button", name="Got it").click()
    page.wait_for_timeout(200)
    return page


def _press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
