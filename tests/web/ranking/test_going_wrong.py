"""Lost connections, a server that fails, two tabs, an ended session: nothing is lost, and the page says what is up."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.ranking.example_items import plain_item
from tests.web.ranking.live_server import TOKEN

pytestmark = pytest.mark.slow


def rank_two(page: Any) -> None:
    for key in ("1", "ArrowRight", "2", "Enter"):
        page.keyboard.press(key)


def wait_for(page: Any, condition: Any, what: str) -> None:
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(25)
    raise AssertionError(what)


def ranks_by_place(judgement: Any) -> list[int]:
    return [judgement.ranks[response] for response in judgement.order_shown]


def test_offline_judgements_wait_and_are_sent_once_when_the_connection_is_back(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(3)])
    page = site.open()
    page.wait_for_timeout(300)  # the next item is there
    sent: list[str] = []
    page.on(
        "request",
        lambda request: sent.append(request.post_data or "") if request.url.endswith("/judgement") else None,
    )
    page.context.set_offline(True)
    rank_two(page)
    page.wait_for_selector(".prompt >> text=Question 1")  # the next one shows although nothing can be sent
    page.wait_for_selector("#notices >> text=1 judgement waits here")
    assert page.locator("#save-state").inner_text() == "1 not saved yet"
    page.keyboard.press("2")
    assert site.judgements() == []
    page.context.set_offline(False)
    wait_for(page, lambda: len(site.judgements()) == 1, "the judgement was not sent")
    wait_for(page, lambda: page.locator("#save-state").inner_text() == "Saved", "it is not said to be saved")
    assert page.locator("#notices .notice").count() == 0
    assert (
        len({part for body in sent for part in body.split('"') if len(part) == 36}) == 1
    )  # one submission id
    assert page.locator(".card[data-card='0'] .card-head input:checked").input_value() == "2"


def test_a_judgement_that_waits_can_be_taken_back_without_the_server(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(3)])
    page = site.open()
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    for number in range(2):
        page.wait_for_selector(f".prompt >> text=Question {number}")
        rank_two(page)  # the first is being sent, the second only waits
    page.wait_for_selector("text=Fetching the next item")
    page.keyboard.press("u")
    page.wait_for_selector(".prompt >> text=Question 1")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("Enter")
    page.context.set_offline(False)
    wait_for(page, lambda: len(site.judgements()) == 2, "the judgements were not sent")
    second = next(one for one in site.judgements() if one.item_id == 2)
    assert ranks_by_place(second) == [1, 0]
    assert second.replaces is None
    page.wait_for_selector(".prompt >> text=Question 2")


def test_judgements_survive_a_closed_tab_while_the_server_fails(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.open()
    page.wait_for_timeout(300)
    page.context.route("**/judgement", lambda route: route.fulfill(status=500, body="oops"))
    rank_two(page)
    page.wait_for_selector("#notices >> text=1 judgement waits here")
    context = page.context
    page.close()
    context.unroute("**/judgement")
    again = site.new_page(context)
    again.goto(f"{site.url}/rank")
    wait_for(again, lambda: len(site.judgements()) == 1, "the kept judgement was not sent")
    assert ranks_by_place(site.judgements()[0]) == [0, 1]


def test_an_answer_that_got_lost_counts_once(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.open()
    page.wait_for_timeout(300)
    lost: list[int] = []

    def lose_first(route: Any) -> None:
        if lost:
            route.continue_()
            return
        route.fetch()  # it arrives and is stored
        lost.append(1)
        route.abort()

    page.context.route("**/judgement", lose_first)
    rank_two(page)
    wait_for(
        page, lambda: lost and page.locator("#save-state").inner_text() == "Saved", "it was not tried again"
    )
    assert len(site.judgements()) == 1
    assert page.locator("dialog").count() == 0


def test_a_draft_is_there_after_a_reload_also_when_it_could_not_be_sent(start_site) -> None:
    site = start_site([plain_item(0, 3)])
    page = site.open()
    page.keyboard.press("2")
    wait_for(page, lambda: page.locator("#save-state").inner_text() == "Saved", "no draft was saved")
    page.context.route("**/draft", lambda route: route.abort())
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("n")
    page.keyboard.type("half a thought")
    page.keyboard.press("Escape")
    page.wait_for_selector("#notices >> text=What you enter is kept in this browser")
    page.reload()
    page.wait_for_selector(".card")
    assert page.locator(".card[data-card='0'] .card-head input:checked").input_value() == "2"
    assert page.locator(".card[data-card='1'] .card-head input:checked").input_value() == "1"
    assert page.locator("#note").input_value() == "half a thought"


def test_a_draft_follows_to_another_browser(start_site) -> None:
    site = start_site([plain_item(0, 3)])
    page = site.open()
    page.keyboard.press("3")
    wait_for(page, lambda: page.locator("#save-state").inner_text() == "Saved", "no draft was saved")
    page.wait_for_timeout(700)
    other = site.open()
    assert other.locator(".card[data-card='0'] .card-head input:checked").input_value() == "3"


def test_two_tabs_the_second_judgement_is_explained_and_resolved(start_site) -> None:
    site = start_site([plain_item(0, 2), plain_item(1, 2)])
    first = site.open()
    second = site.new_page(first.context)
    second.goto(f"{site.url}/rank")
    second.wait_for_selector(".card")
    rank_two(first)
    wait_for(first, lambda: len(site.judgements()) == 1, "the first was not stored")
    second.wait_for_selector("#notices >> text=in another tab just now")
    for key in ("2", "ArrowRight", "1", "Enter"):
        second.keyboard.press(key)
    dialog = second.get_by_role("dialog", name="Two judgements of one item")
    dialog.wait_for()
    assert "A > B" in dialog.inner_text()
    assert "B > A" in dialog.inner_text()
    second.keyboard.press("Escape")
    second.get_by_role("button", name="Decide").click()
    dialog.get_by_role("button", name="Replace it with mine").click()
    wait_for(second, lambda: ranks_by_place(site.judgements()[0]) == [1, 0], "it was not replaced")
    (judgement,) = site.judgements()
    assert judgement.replaces is not None


def test_two_tabs_keeping_the_stored_one_changes_nothing(start_site) -> None:
    site = start_site([plain_item(0, 2), plain_item(1, 2)])
    first = site.open()
    second = site.new_page(first.context)
    second.goto(f"{site.url}/rank")
    second.wait_for_selector(".card")
    rank_two(first)
    wait_for(first, lambda: len(site.judgements()) == 1, "the first was not stored")
    for key in ("2", "ArrowRight", "1", "Enter"):
        second.keyboard.press(key)
    second.get_by_role("button", name="Keep the stored one").click()
    second.wait_for_timeout(200)
    assert ranks_by_place(site.judgements()[0]) == [0, 1]


def test_an_ended_session_keeps_the_work_and_leads_to_signing_in_and_back(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.open()
    page.wait_for_timeout(300)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    rank_two(page)
    page.wait_for_selector("#notices >> text=You are signed out")
    assert page.get_by_role("link", name="Sign in").get_attribute("href") == "/login?next=%2Frank"
    page.keyboard.press("2")  # work goes on, and is kept
    page.context.add_cookies(cookies)
    other = site.new_page(page.context)
    other.goto(f"{site.url}/open?token={TOKEN}")  # another session: the page's CSRF token is out of date now
    other.close()
    wait_for(page, lambda: len(site.judgements()) == 1, "the kept judgement was not sent")
    assert ranks_by_place(site.judgements()[0]) == [0, 1]
    assert page.locator(".card[data-card='0'] .card-head input:checked").input_value() == "2"


def test_a_browser_that_keeps_nothing_says_so_and_works(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(2)])
    page = site.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('none'); } })"
    )
    page.goto(f"{site.url}/open?token={TOKEN}")
    page.wait_for_selector(".card")
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    rank_two(page)
    page.wait_for_selector("#notices >> text=leave this page open")
    page.context.set_offline(False)
    wait_for(page, lambda: len(site.judgements()) == 1, "it was not sent")
