"""From the page to a reward model: what was ranked in a browser is what one command learns from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_models import save_tiny_model
from tests.web.ranking.example_items import plain_item

from posttrain.cli import main

pytestmark = pytest.mark.slow

RANKED = (
    ("1", "2", "3"),
    ("3", "1", "2"),
    ("2", "1", "1"),
    ("2", "3", "1"),
    ("1", "2", "2"),
    ("3", "2", "1"),
)
"""The digits pressed on the cards of each item, as they lie on the page."""


def rank_with_the_keyboard(page: Any, digits: tuple[str, ...]) -> None:
    for digit in digits:
        page.keyboard.press(digit)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rankings_made_on_the_page_train_a_reward_model_through_one_command(start_site, tmp_path, capsys):
    site = start_site([plain_item(number, num_responses=3) for number in range(len(RANKED) + 1)])
    page = site.open()
    for number, digits in enumerate(RANKED):
        page.wait_for_selector(f"text=Question {number}")
        rank_with_the_keyboard(page, digits)
    page.wait_for_selector(f"text=Question {len(RANKED)}")
    page.keyboard.press("s")  # what is skipped is no comparison
    page.wait_for_selector("text=Nothing is left for you")
    page.wait_for_selector("#save-state >> text=Saved")

    model, run = save_tiny_model(tmp_path / "tiny"), tmp_path / "run"
    main(
        ["reward-model", "--data.path", str(tmp_path / "store.db"), "--model", str(model), "--output", str(run),
         "--epochs", "3", "--rankings-per-step", str(len(RANKED)), "--data.held-out-share", "0",
         "--compute.device", "cpu", "--compute.dtype", "float32"]
    )  # fmt: skip

    printed = capsys.readouterr().out
    assert re.search(rf"\b{len(RANKED)} rankings to train on, 0 held out", printed)
    assert re.search(r"1 dropped.*skip", printed)
    steps = lines_of(run / "metrics.jsonl")
    assert [(step["rankings"], step["responses"]) for step in steps] == [(len(RANKED), 3 * len(RANKED))] * 3
    learned = {
        row["prompt"]: row["ranks"] for row in lines_of(run / "rankings.jsonl") if row["kind"] == "ranking"
    }
    assert learned == {
        f"Question {number}": ranks_by_response(judgement.order_shown, digits)
        for number, (judgement, digits) in enumerate(zip(site.judgements(), RANKED, strict=False))
    }
    assert (run / "model" / "config.json").exists()
    assert not site.errors


def ranks_by_response(order_shown: Sequence[int], digits: tuple[str, ...]) -> list[int]:
    """What the digits say, pressed on cards in the order shown: ranks from 0 without gaps, of the responses in turn."""
    rank_of = {digit: rank for rank, digit in enumerate(sorted(set(digits)))}
    by_response = dict(zip(order_shown, digits, strict=True))
    return [rank_of[by_response[response]] for response in range(len(digits))]
