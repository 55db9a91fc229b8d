"""Earlier items open again and can be changed; the next item is there before it is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.ranking.example_items import EXAMPLES, plain_item
from tests.web.ranking.live_server import TOKEN

from posttrain.preferences.store.drafts import draft_of

pytestmark = pytest.mark.slow


def wait_for(page: Any, condition: Any, what: str) -> None:
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(25)
    raise AssertionError(what)


def rank_two(page: Any) -> None:
    for key in ("1", "ArrowRight", "2", "Enter"):
        page.keyboard.press(key)


def question(page: Any, number: int) -> None:
    page.wait_for_selector(f".prompt >> text=Question {number}")


def test_earlier_items_are_changed_and_the_open_one_waits(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(4)])
    page = site.open()
    for number in range(2):
        question(page, number)
        rank_two(page)
    question(page, 2)
    page.keyboard.press("2")
    page.keyboard.press("[")
    question(page, 1)
    page.keyboard.press("[")
    question(page, 0)
    page.keyboard.press("]")
    question(page, 1)
    page.keyboard.press("=")
    page.keyboard.press("Enter")
    question(page, 2)
    assert page.locator(".card[data-card='0'] .card-head input:checked").input_value() == "2"
    wait_for(
        page,
        lambda: len([one for one in site.judgements() if one.replaces]) == 1,
        "the change was not stored",
    )
    changed = next(one for one in site.judgements() if one.replaces)
    assert changed.ranks == (0, 0)
    assert len(site.judgements()) == 2
    wait_for(
        page, lambda: page.locator("#progress").inner_text() == "2 judged · 2 open", "the progress is wrong"
    )
    assert not site.errors


def test_history_lists_what_was_judged_and_opens_it(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(3)])
    page = site.open()
    rank_two(page)
    question(page, 1)
    page.keyboard.press("s")
    question(page, 2)
    wait_for(page, lambda: len(site.judgements()) == 2, "not stored")
    page.reload()
    page.wait_for_selector(".card")
    page.keyboard.press("h")
    dialog = page.get_by_role("dialog", name="What you judged")
    dialog.locator(".history-line").nth(1).wait_for()
    lines = dialog.locator(".history-line").all_inner_texts()
    assert "Skipped" in lines[0]
    assert "A > B" in lines[1]
    assert "Question 0" in lines[1]
    dialog.locator(".history-line").nth(1).click()
    question(page, 0)
    page.keyboard.press("]")
    question(page, 1)
    page.keyboard.press("]")
    question(page, 2)
    assert not site.errors


def test_submitting_what_was_not_changed_stores_nothing_new(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.open()
    rank_two(page)
    question(page, 1)
    wait_for(page, lambda: len(site.judgements()) == 1, "not stored")
    page.keyboard.press("[")
    question(page, 0)
    page.keyboard.press("Enter")
    question(page, 1)
    page.wait_for_timeout(200)
    assert site.judgements()[0].replaces is None


def test_the_next_item_shows_without_asking_the_server(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(4)])
    page = site.open()
    page.wait_for_timeout(400)
    page.context.route("**/api/**", lambda route: None)  # the server never answers again
    rank_two(page)
    question(page, 1)


def test_cards_stand_in_a_shuffled_order_that_stays(start_site) -> None:
    site = start_site([plain_item(number, 8) for number in range(2)])
    page = site.open()
    texts = page.locator(".card .text").all_inner_texts()
    assert sorted(texts) == [f"Response {position} to question 0" for position in range(8)]
    page.reload()
    page.wait_for_selector(".card")
    assert page.locator(".card .text").all_inner_texts() == texts
    page.keyboard.press("s")
    question(page, 1)
    other = [
        text.replace("question 1", "question 0") for text in page.locator(".card .text").all_inner_texts()
    ]
    assert sorted(other) == sorted(texts)


def test_a_change_half_made_is_there_after_a_reload_and_a_late_draft_is_not(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.open()
    rank_two(page)
    question(page, 1)
    wait_for(page, lambda: len(site.judgements()) == 1, "not stored")
    page.keyboard.press("[")
    question(page, 0)
    page.keyboard.press("n")
    page.keyboard.type("on second thought")
    page.keyboard.press("Escape")
    first = site.judgements()[0]

    def stored() -> bool:
        draft = draft_of(site.store, site.annotator_id, first.item_id)
        return draft is not None and draft.content["note"] == "on second thought"

    wait_for(page, stored, "the draft of the change was not stored")
    page.evaluate("localStorage.clear()")  # as in another browser
    page.reload()
    question(page, 1)
    page.keyboard.press("[")
    question(page, 0)
    assert page.locator("#note").input_value() == "on second thought"
    page.keyboard.press("Enter")
    wait_for(page, lambda: site.judgements()[0].replaces == first.judgement_id, "the change was not stored")
    assert draft_of(site.store, site.annotator_id, first.item_id) is None
    assert not site.errors


def test_models_are_not_told(start_site) -> None:
    site = start_site(EXAMPLES)
    page = site.new_page()
    bodies: list[str] = []
    page.on("response", lambda response: bodies.append(response.text()) if "/api/" in response.url else None)
    page.goto(f"{site.url}/open?token={TOKEN}")
    page.wait_for_selector(".card")
    page.wait_for_timeout(300)
    assert bodies
    assert not any("secret-model" in body for body in bodies)


def test_a_reviewer_settles_an_item_by_its_address(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(3)])
    page = site.open()
    page.goto(site.address_of(3))
    page.wait_for_selector("text=You settle this item as a reviewer")
    rank_two(page)
    page.wait_for_selector("text=This item is settled")
    wait_for(page, lambda: len(site.judgements()) == 1, "not stored")
    assert site.judgements()[0].settles
    page.get_by_role("button", name="Rank items of the queue").click()
    question(page, 0)
    assert not site.errors
