"""samples.html: one file that loads nothing, in which no text of a model can act.

The samples stand in the page as JSON in a data block: ASCII only, with <, > and & escaped, so nothing in them
can end the block. The script shows them through textContent alone, and the content security policy names the
hashes of the one script and the one style sheet and allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

_LONGEST_TEXT = 20_000
_LONGEST_FAILURE = 4_000
_ROWS_BEFORE_AFTER = 500


def render_page(
    *,
    title: str,
    samples: Sequence[Mapping[str, Any]],
    num_kept: int,
    num_generated: int,
    before_after: Mapping[str, Any] | None,
) -> str:
    """The page. `samples` are rows of samples.jsonl; `before_after` is `samples.before_after`'s."""
    room = files("posttrain.runs")
    template = (room / "samples_page.html").read_text(encoding="utf-8")
    style = (room / "samples_page.css").read_text(encoding="utf-8")
    script = (room / "samples_page.js").read_text(encoding="utf-8")
    data: dict[str, Any] = {
        "samples": [_page_row(row) for row in samples],
        "numKept": num_kept,
        "numGenerated": num_generated,
        "beforeAfter": None if before_after is None else _page_pairs(before_after),
    }
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # One pass over the template: text that was put in is never searched for a slot again.
    slots = {
        "title": html.escape(title),
        "policy": html.escape(policy),
        "style": style,
        "data": _data_block(data),
        "script": script,
    }
    head, *rest = template.split("{{")
    pieces = [head]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [slots[name], after]
    return "".join(pieces)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_block(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _page_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "step": row.get("step"),
        "id": row["prompt_id"],
        "index": row["sample_index"],
        "prompt": _short(row["prompt"]),
        "response": _short(row["response"]),
        "score": _number(row["score"]),
        "parts": {name: _number(value) for name, value in row["parts"].items()},
        "failure": None if row["failure"] is None else row["failure"][:_LONGEST_FAILURE],
        "finish": row["finish_reason"],
        "length": row["length"],
    }


def _number(value: float | None) -> float | None:
    """JSON has no NaN or infinity: on the page they stand as no number, in samples.jsonl as what they are."""
    return value if value is None or math.isfinite(value) else None


def _page_pairs(before_after: Mapping[str, Any]) -> dict[str, Any]:
    rows = before_after["rows"]
    count = min(len(rows), _ROWS_BEFORE_AFTER)
    return {
        "beforeStep": before_after["before_step"],
        "afterStep": before_after["after_step"],
        "numAll": len(rows),
        "rows": [
            {
                "id": row["prompt_id"],
                "index": row["sample_index"],
                "prompt": _short(row["prompt"]),
                "before": _page_row(row["before"]),
                "after": _page_row(row["after"]),
            }
            for row in (rows[index * len(rows) // count] for index in range(count))
        ],
    }


def _short(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    half = _LONGEST_TEXT // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out} characters are in samples.jsonl only ...]\n{text[-half:]}"
