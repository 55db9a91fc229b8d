"""The page with a mouse, and with a finger on a phone of 360 pixels."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.ranking.example_items import EXAMPLES, plain_item

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def ranks_in_tray(page: Any) -> list[str]:
    """Letters in each rank, as the tray shows them."""
    return [
        "".join(chips.locator(".chip").all_inner_texts())
        for chips in page.locator(".tier:not(.pool) > .chips").all()
    ]


def centre(page: Any, selector: str) -> tuple[float, float]:
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(start[0] + (end[0] - start[0]) * step / 8, start[1] + (end[1] - start[1]) * step / 8)
        page.wait_for_timeout(15)
    page.mouse.move(*end)
    page.wait_for_timeout(60)
    page.mouse.up()
    page.wait_for_timeout(60)


def letter(page: Any, name: str) -> tuple[float, float]:
    return centre(page, f".card[data-card='{'ABCDEFGH'.index(name)}'] .chip")


def chip(page: Any, name: str) -> tuple[float, float]:
    return centre(page, f".tray .chip-item[data-card='{'ABCDEFGH'.index(name)}']")


def rank(page: Any, number: int) -> tuple[float, float]:
    return centre(page, f".tier[data-tier='{number}']")


def judged(site: Any, page: Any) -> Any:
    for _ in range(200):
        if site.judgements():
            return site.judgements()[0]
        page.wait_for_timeout(25)
    raise AssertionError("no judgement arrived")


def test_letters_are_dragged_into_ranks(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    drag(page, letter(page, "A"), rank(page, 2))
    drag(page, chip(page, "B"), rank(page, 1))
    drag(page, letter(page, "C"), rank(page, 2))
    drag(page, chip(page, "D"), rank(page, 4))
    assert ranks_in_tray(page) == ["B", "AC", "", "D"]
    assert page.locator(".card .chip").count() == 4  # the letters stay on their cards
    drag(page, chip(page, "D"), centre(page, ".tier.pool"))
    assert ranks_in_tray(page) == ["B", "AC", "", ""]
    drag(page, chip(page, "D"), rank(page, 3))
    page.get_by_role("button", name="Submit").click()
    judgement = judged(site, page)
    assert [judgement.ranks[response] for response in judgement.order_shown] == [1, 0, 1, 2]
    assert not site.errors


def test_a_letter_dragged_between_two_ranks_moves_the_others_down(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    for key in ("1", "ArrowRight", "2", "ArrowRight", "3"):
        page.keyboard.press(key)
    box = page.locator(".tier[data-tier='2']").bounding_box()
    drag(page, letter(page, "D"), (box["x"] - 3, box["y"] + box["height"] / 2))
    assert ranks_in_tray(page) == ["A", "D", "B", "C"]
    page.keyboard.press("u")
    assert ranks_in_tray(page) == ["A", "B", "C", ""]
    assert not site.errors


def test_ranks_grades_and_the_rest_by_clicks(start_site) -> None:
    site = start_site([plain_item(0, 2)])
    page = site.open()
    page.locator(".card[data-card='0'] .card-head .choice").nth(1).click()
    page.locator(".card[data-card='1'] .card-head .choice").nth(0).click()
    assert ranks_in_tray(page) == ["B", "A"]
    page.locator(".card[data-card='1'] .card-head .choice").nth(0).click()  # the one that is on: off again
    assert ranks_in_tray(page) == ["", "A"]
    page.locator(".card[data-card='1'] .card-body").click()
    page.locator(".tier[data-tier='2'] .tier-name").click()
    assert ranks_in_tray(page) == ["", "AB"]
    page.locator(".card[data-card='0'] .card-foot .choice").nth(3).click()
    page.locator(".card[data-card='1'] .unacceptable").click()
    page.get_by_role("button", name="Flag").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Submit").click()
    judgement = judged(site, page)
    assert judgement.ranks == (0, 0)
    assert [judgement.grades[response] for response in judgement.order_shown] == [4, None]
    assert [judgement.unacceptable[response] for response in judgement.order_shown] == [False, True]
    assert not judgement.is_flagged
    assert not site.errors


def test_keys_work_after_a_click_on_a_number(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    page.locator(".card[data-card='2'] .card-head .choice").nth(0).click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("2")
    assert ranks_in_tray(page) == ["C", "B", "", ""]


def test_a_phone_stacks_the_cards_and_ranks_by_taps_and_drags(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open(**PHONE)
    lefts = {card.bounding_box()["x"] for card in page.locator(".card").all()}
    assert len(lefts) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for card, number in ((0, 2), (1, 1), (2, 2)):
        page.locator(f".card[data-card='{card}'] .card-head .choice").nth(number - 1).tap()
    assert ranks_in_tray(page) == ["B", "AC", "", ""]
    drag(page, chip(page, "D"), rank(page, 3))
    assert ranks_in_tray(page) == ["B", "AC", "D", ""]
    page.get_by_role("button", name="More").tap()
    page.get_by_role("button", name="Note").tap()
    page.locator("#note").fill("by thumb")
    page.get_by_role("button", name="Submit").tap()
    judgement = judged(site, page)
    assert [judgement.ranks[response] for response in judgement.order_shown] == [1, 0, 1, 2]
    assert judgement.note == "by thumb"
    assert not site.errors


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
def test_no_width_scrolls_sideways_or_hides_a_button(start_site, width: int) -> None:
    site = start_site(EXAMPLES)
    page = site.open(viewport={"width": width, "height": 800})
    for item in (1, 2, 3):
        page.goto(site.address_of(item))
        page.wait_for_selector(".card")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        submit = page.get_by_role("button", name="Submit").bounding_box()
        assert submit["x"] >= 0
        assert submit["x"] + submit["width"] <= width
        assert submit["y"] + submit["height"] <= 800
        outside = page.evaluate(
            "[...document.querySelectorAll('.card .choice, .card .toggle, .card .badge')]"
            ".filter((one) => { const box = one.getBoundingClientRect(), card = one.closest('.card').getBoundingClientRect();"
            " return box.left < card.left - 1 || box.right > card.right + 1; }).map((one) => one.textContent)"
        )
        assert outside == []


def test_many_cards_fold_their_ranks_on_a_phone_until_asked_for(start_site) -> None:
    site = start_site([plain_item(0, 8)])
    page = site.open(**PHONE)
    assert not page.locator(".tiers").is_visible()
    page.locator(".card[data-card='3'] .card-head .choice").nth(0).tap()
    summary = page.locator(".tray-summary")
    assert summary.inner_text().startswith("D · 7 to go")
    summary.tap()
    drag(page, chip(page, "A"), rank(page, 2))
    assert ranks_in_tray(page)[:2] == ["D", "A"]
