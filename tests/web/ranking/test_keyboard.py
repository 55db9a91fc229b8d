"""The whole page without a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.ranking.example_items import plain_item

from posttrain.preferences.store.drafts import draft_of

pytestmark = pytest.mark.slow


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def ranks_of_letters(page: Any) -> dict[str, int | None]:
    """The rank that each card shows."""
    shown = {}
    for card in page.locator(".card").all():
        chosen = card.locator(".card-head input:checked")
        shown[card.locator(".chip").inner_text()] = int(chosen.input_value()) if chosen.count() else None
    return shown


def wait_for_judgements(site: Any, page: Any, number: int) -> list[Any]:
    for _ in range(200):
        if len(site.judgements()) == number and page.locator("#save-state").inner_text() == "Saved":
            break
        page.wait_for_timeout(25)
    assert len(site.judgements()) == number
    return site.judgements()


def test_a_batch_is_ranked_with_the_keyboard_alone(start_site, said) -> None:
    site = start_site([plain_item(number) for number in range(5)])
    page = site.open()
    for number in range(5):
        page.wait_for_selector(f"text=Question {number}")
        press(page, "2", "ArrowRight", "1", "ArrowRight", "2", "ArrowRight", "4")
        assert ranks_of_letters(page) == {"A": 2, "B": 1, "C": 2, "D": 4}
        assert said(page) == "D: rank 3. All are ranked; Enter submits."
        press(page, "Enter")
    page.wait_for_selector("text=Nothing is left for you")
    judgements = wait_for_judgements(site, page, 5)
    for judgement in judgements:
        by_place = [judgement.ranks[response] for response in judgement.order_shown]
        assert by_place == [1, 0, 1, 2]
        assert judgement.kind == "ranking"
        assert judgement.annotator_id == site.annotator_id
    page.wait_for_selector("#progress >> text=5 judged · 0 open")
    assert not site.errors


def test_each_ranking_key_does_what_the_overlay_says(start_site, said) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    press(page, "1", "ArrowRight", " ")
    assert ranks_of_letters(page) == {"A": 2, "B": 1, "C": None, "D": None}
    press(page, "ArrowRight", "=")
    assert ranks_of_letters(page) == {"A": 2, "B": 1, "C": 2, "D": None}
    assert said(page) == "C: rank 2, tied with A. 1 not ranked."
    press(page, "ArrowUp")
    assert ranks_of_letters(page) == {"A": 3, "B": 1, "C": 2, "D": None}
    press(page, "ArrowUp")
    assert ranks_of_letters(page) == {"A": 3, "B": 2, "C": 1, "D": None}
    press(page, "ArrowDown")
    assert ranks_of_letters(page) == {"A": 3, "B": 1, "C": 2, "D": None}
    press(page, "End", "=")
    assert ranks_of_letters(page)["D"] == 3
    press(page, "0")
    assert ranks_of_letters(page)["D"] is None
    press(page, "9")  # no such rank: nothing happens
    press(page, "8")
    assert ranks_of_letters(page)["D"] is None
    assert said(page) == "There are 4 ranks."
    assert not site.errors


def test_undo_takes_back_every_change_one_by_one(start_site) -> None:
    site = start_site([plain_item(0, num_responses=2)])
    page = site.open()
    card = page.locator(".card").first
    press(page, "1", "x", "Shift+Digit4", "f", "c", "t")
    page.get_by_role("button", name="off topic").click()
    press(page, "Escape", "n")
    page.keyboard.type("odd")
    press(page, "Escape", "ArrowRight", "2")
    assert (
        page.locator(".tray [aria-pressed=true]").count() == 1
    )  # ranking took "cannot rank" away; the flag stays
    press(page, "u")
    assert ranks_of_letters(page) == {"A": 1, "B": None}
    press(page, "u")
    assert page.locator("#note").input_value() == ""
    press(page, "u")
    assert card.locator(".tag").count() == 0
    press(page, "u")
    assert page.locator(".cannot").get_attribute("aria-pressed") == "false"
    press(page, "u")
    assert page.get_by_role("button", name="Flag").get_attribute("aria-pressed") == "false"
    press(page, "u")
    assert card.locator(".card-foot input:checked").count() == 0
    press(page, "u")
    assert card.locator(".unacceptable").get_attribute("aria-pressed") == "false"
    press(page, "u")
    assert ranks_of_letters(page) == {"A": None, "B": None}
    press(page, "U", "U")
    assert ranks_of_letters(page) == {"A": 1, "B": None}
    assert card.locator(".unacceptable").get_attribute("aria-pressed") == "true"
    assert not site.errors


def test_everything_that_can_be_said_arrives_in_the_store(start_site) -> None:
    site = start_site([plain_item(0, num_responses=2)])
    page = site.open()
    press(page, "1", "Shift+Digit5", "t")
    page.keyboard.press("Tab")
    page.get_by_label("Another tag for response A").fill("my own tag")
    press(page, "Enter", "Escape", "ArrowRight", "x", "f", "n")
    page.keyboard.type("why\nnot")
    press(page, "Escape", "Enter")  # B has no rank, and nobody can accept it: it comes last
    (judgement,) = wait_for_judgements(site, page, 1)
    at = judgement.order_shown
    assert [judgement.ranks[response] for response in at] == [0, 1]
    assert [judgement.grades[response] for response in at] == [5, None]
    assert [judgement.tags[response] for response in at] == [("my own tag",), ()]
    assert [judgement.unacceptable[response] for response in at] == [False, True]
    assert judgement.note == "why\nnot"
    assert judgement.is_flagged
    assert judgement.seconds > 0
    assert not site.errors


def test_a_ranking_with_a_card_missing_is_not_submitted(start_site, said) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    press(page, "1", "ArrowRight", "2", "Enter")
    assert said(page).startswith("Not submitted: C, D have no rank.")
    assert page.evaluate("document.activeElement.dataset.card") == "2"
    assert site.judgements() == []


def test_a_note_is_kept_while_it_is_written_and_control_enter_submits(start_site) -> None:
    site = start_site([plain_item(0, 2)])
    page = site.open()
    press(page, "1", "ArrowRight", "2", "n")
    page.keyboard.type("half")
    for _ in range(200):
        kept = draft_of(site.store, site.annotator_id, 1)
        if kept is not None and kept.content["note"] == "half":
            break
        page.wait_for_timeout(25)
    assert kept.content["note"] == "half"
    press(page, "Control+Enter")
    (judgement,) = wait_for_judgements(site, page, 1)
    assert judgement.note == "half"


def test_skip_and_cannot_rank(start_site) -> None:
    site = start_site([plain_item(0), plain_item(1)])
    page = site.open()
    press(page, "s")
    page.wait_for_selector("text=Question 1")
    press(page, "c", "Enter")
    judgements = wait_for_judgements(site, page, 2)
    assert [judgement.kind for judgement in judgements] == ["skip", "cannot_rank"]
    assert all(judgement.ranks is None for judgement in judgements)


def test_undo_takes_back_a_submission_and_a_skip(start_site, said) -> None:
    site = start_site([plain_item(0, 2), plain_item(1, 2)])
    page = site.open()
    press(page, "1", "ArrowRight", "2", "Enter")
    page.wait_for_selector("text=Question 1")
    wait_for_judgements(site, page, 1)
    press(page, "1")
    press(page, "u", "u")
    page.wait_for_selector("text=You judged this before")
    assert said(page).startswith("Back at item 1")
    assert ranks_of_letters(page) == {"A": 1, "B": 2}
    press(page, "ArrowRight", " ", "Enter")
    page.wait_for_selector("text=Question 1")
    for _ in range(100):
        (judgement,) = site.judgements()
        if judgement.replaces is not None:
            break
        page.wait_for_timeout(25)
    assert [judgement.ranks[response] for response in judgement.order_shown] == [1, 0]
    press(page, "s")
    page.wait_for_selector("text=Nothing is left")
    wait_for_judgements(site, page, 2)
    press(page, "u")  # also where no item is left
    page.wait_for_selector(".prompt >> text=Question 1")
    press(page, "2", "ArrowRight", "1", "Enter")
    page.wait_for_selector("text=Nothing is left")
    assert {judgement.kind for judgement in wait_for_judgements(site, page, 2)} == {"ranking"}
    assert not site.errors


def test_the_overlay_shows_every_key(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keys")
    text = dialog.inner_text()
    for part in (
        "Space",
        "Enter",
        "unacceptable",
        "tie with",
        "undo",
        "skip",
        "flag",
        "note",
        "guideline",
        "raw",
    ):
        assert part in text
    press(page, "1")
    assert page.locator(".card-head input:checked").count() == 0  # keys do not reach the page behind
    press(page, "Escape")
    assert dialog.count() == 0
    assert page.evaluate("document.activeElement.classList.contains('card')")


def test_digits_may_go_on_to_the_next_card(start_site) -> None:
    site = start_site([plain_item(0)])
    page = site.open()
    press(page, "?")
    page.get_by_label("After a digit go on").check()
    press(page, "Escape", "3", "1", "1", "2")
    assert ranks_of_letters(page) == {"A": 3, "B": 1, "C": 1, "D": 2}


def test_raw_and_comparison_on_keys(start_site) -> None:
    site = start_site([plain_item(0, 2)])
    page = site.open()
    press(page, "r")
    assert page.locator(".card .text.is-raw").count() == 1
    press(page, "r", "d")
    dialog = page.get_by_role("dialog", name="Compare")
    dialog.locator("del").first.wait_for()
    assert dialog.locator("del").inner_text().strip() in {"0", "1"}
    assert dialog.locator("ins").inner_text().strip() in {"0", "1"}
    press(page, "Escape")
    assert dialog.count() == 0
    assert not site.errors


def test_keys_of_one_letter_can_be_switched_off_outside_cards(start_site) -> None:
    site = start_site([plain_item(0), plain_item(1)])
    page = site.open()
    press(page, "?")
    page.get_by_label("Keys of one letter work everywhere").uncheck()
    press(page, "Escape")
    page.get_by_role("button", name="History").focus()
    press(page, "s")
    page.wait_for_timeout(100)
    assert "Question 0" in page.locator(".prompt").inner_text()
