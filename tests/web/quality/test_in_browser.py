"""The quality pages in Debian's Chromium: nothing refused by the policy, no serious barrier, a phone, a keyboard."""

import pytest

from posttrain.preferences.quality.settling import settled_items

pytestmark = pytest.mark.slow


def serious(page):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    return [
        (found["id"], found["nodes"][0]["html"])
        for found in axe.Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_and_no_refused_style(browse, scheme):
    page, errors = browse(scheme=scheme)
    page.goto("/quality")
    page.get_by_text("more", exact=False).first.wait_for()
    assert serious(page) == []
    page.locator(".settle-list a").first.click()
    page.get_by_role("heading", name="What people said").wait_for()
    assert serious(page) == []
    assert errors == []


def test_on_a_phone_nothing_is_wider_than_the_screen(browse):
    page, errors = browse(width=360, height=740)
    for path in ("/quality", "/quality/items/1"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert serious(page) == []
    assert errors == []


def test_a_disagreement_is_settled_with_the_keyboard_alone(browse, store):
    page, _ = browse()
    page.goto("/quality")
    page.locator(".settle-list a").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your judgement").wait_for()
    item = int(page.url.rsplit("/", 1)[1])
    for place, letter in enumerate("ABC"):
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement.name") != f"rank_{place}":
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        for _ in range(place):
            page.keyboard.press("ArrowRight")
        assert (
            page.get_by_role("radiogroup", name=f"Rank of response {letter}")
            .get_by_label(f"{place + 1}")
            .is_checked()
        )
    while page.evaluate("document.activeElement.textContent.trim()") != "Settle with this ranking":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text(f"Item {item} is settled.").wait_for()
    assert settled_items(store) == {item}
