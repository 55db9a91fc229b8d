"""axe finds nothing serious, changes are said, focus is seen and never hidden."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.ranking.example_items import EXAMPLES, plain_item

pytestmark = pytest.mark.slow


def serious(page: Any) -> list[str]:
    """What axe finds that is serious or critical."""
    playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = playwright.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 360])
def test_axe_finds_nothing_serious(start_site, scheme: str, width: int) -> None:
    site = start_site(EXAMPLES)
    page = site.open(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    for item in (1, 2, 3):
        page.goto(site.address_of(item))
        page.wait_for_selector(".card")
        for key in ("1", "x", "t", "Escape", "ArrowRight", "2", "Shift+Digit3"):
            page.keyboard.press(key)
        page.wait_for_timeout(200)
        assert serious(page) == []
    page.keyboard.press("c")
    page.keyboard.press("r")
    page.wait_for_timeout(200)
    assert serious(page) == []


def test_axe_finds_nothing_serious_in_dialogs_and_at_the_end(start_site) -> None:
    site = start_site([plain_item(0, 2), plain_item(1, 2)])
    page = site.open(bypass_csp=True)
    for key in ("1", "ArrowRight", "2", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("text=Question 1")
    for key, name in (("?", "Keys"), ("d", "Compare"), ("g", "Guideline"), ("h", "What you judged")):
        page.keyboard.press(key)
        page.get_by_role("dialog", name=name).wait_for()
        page.wait_for_timeout(300)
        assert serious(page) == [], name
        page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.wait_for_selector("text=Nothing is left for you")
    assert serious(page) == []


def test_changes_are_said_and_cards_are_named(start_site, said) -> None:
    site = start_site(EXAMPLES[:1])
    page = site.open()
    assert said(page) == "Item 1: 4 responses. You are at response A."
    assert page.locator("#announcer").get_attribute("aria-live") == "polite"
    page.keyboard.press("2")
    assert said(page) == "A: rank 1. 3 not ranked."
    name = page.locator(".card").first.get_attribute("aria-label")
    assert name.startswith("Response A, rank 2 of 4")
    assert "words" in name
    assert any("cut off" in card.get_attribute("aria-label") for card in page.locator(".card").all())
    page.keyboard.press("x")
    assert said(page) == "A: unacceptable"
    page.keyboard.press("u")
    assert said(page) == "Undone: A: unacceptable"
    assert page.get_by_role("list", name="4 responses").count() == 1
    assert page.get_by_role("radio", name="Rank 3 for response B").count() == 1


def test_focus_is_seen_and_not_hidden_by_the_tray(start_site) -> None:
    site = start_site([EXAMPLES[2]])
    page = site.open(viewport={"width": 800, "height": 600}, reduced_motion="reduce")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
        box, tray = page.evaluate(
            "[document.activeElement.getBoundingClientRect().toJSON(), "
            "document.querySelector('.tray').getBoundingClientRect().toJSON()]"
        )
        assert box["top"] < tray["top"] - 40
        assert box["bottom"] > 40
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 2


def test_tab_goes_through_one_card_and_out_of_it(start_site) -> None:
    """Cards are one stop of the keyboard; arrows go between them, Tab goes through what is in one and on."""
    site = start_site([plain_item(0, 8)])
    page = site.open()
    assert page.locator(".card[tabindex='0']").count() == 1
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.innerText?.split('\\n')[0] || document.activeElement.name || ''"
            )
        )
    for name in ("Submit", "Skip", "Flag"):
        assert any(text.startswith(name) for text in seen)


@pytest.mark.parametrize("path", ["/rank", "/quality", "/annotators"])
def test_every_word_of_the_navigation_is_in_sight_on_a_phone(start_site, path) -> None:
    site = start_site([EXAMPLES[0]])
    page = site.open(viewport={"width": 360, "height": 740})
    page.goto(site.url + path)
    if path == "/rank":
        page.wait_for_selector(".card")
    names = [
        name
        for name, at, parent in page.evaluate(
            """[...document.querySelectorAll(".page-header a, .page-header button, .item-buttons button")].map((one) => {
                const scrolling = [...document.querySelectorAll("*")].find((box) => box.contains(one) && box !== one
                    && getComputedStyle(box).overflowX !== "visible" && box.scrollWidth > box.clientWidth);
                return [one.innerText, one.getBoundingClientRect().toJSON(), scrolling?.className ?? null];
            })"""
        )
        if at["left"] >= 0 and at["right"] <= 360 and parent is None
    ]
    own = ["Earlier", "History", "Compare", "Guideline", "Keys"] if path == "/rank" else []
    assert names == ["Rank", "Quality", "Annotators", "Audit log", "Sign out", *own]


def test_reduced_motion_and_doubled_text_are_respected(start_site) -> None:
    site = start_site(EXAMPLES)
    page = site.open(reduced_motion="reduce", viewport={"width": 640, "height": 800})
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).transitionDuration") in {"0s", ""}
    page.evaluate(
        "document.documentElement.setAttribute('data-x', ''); document.documentElement.style.fontSize = '200%'"
    )
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
