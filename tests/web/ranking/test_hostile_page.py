"""Responses that want to run, load, cover or hang the page do none of it."""

from __future__ import annotations

import time

import pytest
from tests.web.ranking.test_rendering import HOSTILE, SHAPES

from posttrain.preferences.store.records import NewItem

pytestmark = pytest.mark.slow

ATTACK = "\n\n".join(HOSTILE) + (
    "\n\n<script>document.title='owned'</script><img src=/x onerror=\"document.title='owned'\">"
    "\n\n<link rel=stylesheet href=//evil.example/x.css><meta http-equiv=refresh content='0;url=//evil.example'>"
    "\n\n![x](http://evil.example/pixel.png) [click me](http://evil.example/)"
)


def test_hostile_responses_neither_run_nor_load_nor_break_the_page(start_site) -> None:
    item = NewItem(
        external_id="hostile",
        prompt=ATTACK,
        responses=(
            ATTACK,
            SHAPES["1 MB line"],
            SHAPES["100,000 lines of code"],
            SHAPES["zalgo"] + "\u202eevil",
        ),
    )
    site = start_site([item, NewItem(external_id="next", prompt="Question next", responses=("a", "b"))])
    page = site.open()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    page.reload()
    page.wait_for_selector(".card")
    page.wait_for_timeout(300)
    assert page.title() == "Rank · posttrain"
    assert all(url.startswith(site.url) for url in asked)
    assert (
        page.locator(
            ".text script, .text img, .text iframe, .text a, .text svg, .text style, .text form"
        ).count()
        == 0
    )
    assert page.locator(".text [style], .text [onclick], .text [onerror], .text [id]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    for card in page.locator(".card").all():
        box = card.bounding_box()
        assert box["width"] < 700
    page.locator(".card .link").first.click()
    assert page.url == f"{site.url}/rank" or page.url == f"{site.url}/"
    for key in ("Home", "1", "ArrowRight", "2", "ArrowRight", "3", "ArrowRight", "4", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("text=Question next")
    assert not site.errors


def test_raw_text_of_a_megabyte_shows_within_a_few_seconds(start_site) -> None:
    item = NewItem(
        external_id="long", prompt="Q", responses=(SHAPES["1 MB line"], SHAPES["100,000 lines of code"])
    )
    site = start_site([item])
    page = site.open()
    start = time.monotonic()
    page.keyboard.press("R")
    all_is_there = (
        "[...document.querySelectorAll('.card .text')].every((one) => one.textContent.length > 500000)"
    )
    while not page.evaluate(all_is_there):
        assert time.monotonic() - start < 10
        page.wait_for_timeout(50)
    page.keyboard.press("1")
    page.locator(".card-head input:checked").first.wait_for(state="attached")
    assert time.monotonic() - start < 10
    assert not site.errors


def test_hidden_characters_are_badges_and_do_not_turn_the_page_around(start_site) -> None:
    item = NewItem(external_id="bidi", prompt="Q", responses=("abc \u202e\u2066fed", "plain"))
    site = start_site([item])
    page = site.open()
    assert page.locator(".hidden-mark").all_inner_texts() == ["U+202E", "U+2066"]
    assert page.locator(".hidden-mark").first.get_attribute("title") == "right-to-left override"
