"""Parts of the page's scripts by themselves, in the browser: ranks under random changes, guidelines, long cards."""

from __future__ import annotations

import pytest
from tests.web.ranking.example_items import EXAMPLES, plain_item

from posttrain.preferences.store.guidelines import publish_guidelines
from posttrain.preferences.store.ranks import reason_against_ranks
from posttrain.preferences.store.records import NewItem

pytestmark = pytest.mark.slow

RANDOM_WALK = """
async () => {
  const ranking = await import("/static/ranking/ranks.js");
  let seed = 12345;
  const draw = (below) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % below; };
  const walks = [];
  for (let walk = 0; walk < 300; walk += 1) {
    const numCards = 2 + draw(7);
    let ranks = new Array(numCards).fill(null);
    const steps = [];
    for (let step = 0; step < 12; step += 1) {
      const card = draw(numCards), slot = 1 + draw(numCards), what = draw(6), before = ranks;
      if (what === 0) ranks = ranking.place(ranks, card, slot);
      if (what === 1) ranks = ranking.insertBefore(ranks, card, slot);
      if (what === 2) ranks = ranking.best(ranks, card);
      if (what === 3) ranks = ranking.move(ranks, card, draw(2) ? 1 : -1);
      if (what === 4) ranks = ranking.tie(ranks, card);
      if (what === 5) ranks = ranking.takeOut(ranks, card);
      steps.push({ what, card, before, after: ranks });
    }
    const unacceptable = ranks.map(() => draw(2) === 1);
    walks.push({ numCards, steps, unacceptable, finished: ranking.finished(ranks, unacceptable) });
  }
  return walks;
}
"""


def order_of_others(ranks: list[int | None], card: int) -> list[list[int]]:
    """Cards but this one, in groups of equal rank, best first."""
    slots = sorted({slot for other, slot in enumerate(ranks) if other != card and slot is not None})
    return [[other for other, slot in enumerate(ranks) if other != card and slot == level] for level in slots]


def test_random_changes_move_one_card_and_keep_the_order_of_the_others(start_site) -> None:
    page = start_site([plain_item(0)]).open()
    for walk in page.evaluate(RANDOM_WALK):
        for step in walk["steps"]:
            before, after, card = step["before"], step["after"], step["card"]
            assert order_of_others(before, card) == order_of_others(after, card), step
            assert all(slot is None or 1 <= slot <= walk["numCards"] for slot in after), step
            if step["what"] == 2:
                assert all(
                    slot is None or slot > after[card] for other, slot in enumerate(after) if other != card
                )
            if step["what"] == 5:
                assert after[card] is None
        last = walk["steps"][-1]["after"]
        missing = [card for card, slot in enumerate(last) if slot is None]
        if all(walk["unacceptable"][card] for card in missing):
            assert reason_against_ranks(walk["finished"], walk["numCards"]) is None
            assert all(walk["finished"][card] == max(walk["finished"]) for card in missing)
        else:
            assert walk["finished"] is None


def test_guideline_is_offered_once_and_again_when_it_changed(start_site) -> None:
    site = start_site([plain_item(number, 2) for number in range(3)])
    publish_guidelines(site.store, "# Be fair\n\n- Prefer what is **true**.", "admin")
    page = site.open()
    page.wait_for_selector("text=Please read the guideline")
    page.keyboard.press("g")
    dialog = page.get_by_role("dialog", name="Guideline")
    dialog.get_by_text("Prefer what is true.").wait_for()
    assert "Version 1" in dialog.inner_text()
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".card")
    assert page.locator("#notices >> text=guideline").count() == 0
    publish_guidelines(site.store, "# Be kind", "admin")
    page.reload()
    page.wait_for_selector("text=The guideline has changed.")
    for key in ("1", "ArrowRight", "2", "Enter"):
        page.keyboard.press(key)
    for _ in range(200):
        if site.judgements():
            break
        page.wait_for_timeout(25)
    assert site.judgements()[0].guideline_version == 2


def test_long_cards_in_several_rows_fold_and_show_all_on_a_key(start_site) -> None:
    long = "\n\n".join(f"Paragraph {number} of a long response." for number in range(120))
    site = start_site(
        [NewItem(external_id="long", prompt="Q", responses=(long, long + ".", "short", "shorter", "x"))]
    )
    page = site.open()
    folded = page.locator(".card.is-folded")
    assert folded.count() == 2
    page.locator(".card.is-folded .unfold").first.click()
    assert folded.count() == 1
    for key in ("Home", *(["ArrowRight"] * 4)):
        if page.locator(".card.is-folded.is-current").count():
            break
        page.keyboard.press(key)
    page.keyboard.press("e")
    assert folded.count() == 0
    assert not site.errors


def test_conversations_show_the_last_message_and_fold_the_ones_before(start_site) -> None:
    page = start_site([EXAMPLES[1]]).open()
    prompt = page.get_by_role("region", name="Prompt").first
    assert "median of a list" in prompt.inner_text()
    assert not page.get_by_text("You are a careful programmer").is_visible()
    page.get_by_text("System message").click()
    assert page.get_by_text("You are a careful programmer").is_visible()
    assert page.locator(".c-keyword").count() > 0


def test_drafts_of_any_shape_do_not_break_the_page(start_site) -> None:
    from posttrain.preferences.store.drafts import save_draft
    from posttrain.preferences.store.queue import next_item

    site = start_site([plain_item(0, 2)])
    next_item(site.store, site.annotator_id)
    odd = {"ranks": [9, "x"], "grades": {}, "tags": [1], "note": 5, "seconds": "long", "unacceptable": None}
    save_draft(site.store, site.annotator_id, 1, odd, 1)
    page = site.open()
    page.keyboard.press("1")
    assert page.locator(".card[data-card='0'] .card-head input:checked").input_value() == "1"
    assert not site.errors
