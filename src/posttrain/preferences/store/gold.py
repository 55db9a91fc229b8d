"""When a person gets an item with a known answer."""

from __future__ import annotations

import hashlib


def is_gold_due(shuffle_seed: int, num_handed_out: int, gold_every: int) -> bool:
    """Whether the person's next item (after so many) is one with a known answer: one in each `gold_every`.

    Where in each run of that length is drawn by the person's seed, so that nobody can wait for it.
    """
    if gold_every == 0:
        return False
    run, place = divmod(num_handed_out, gold_every)
    drawn = hashlib.sha256(f"gold/{shuffle_seed}/{run}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % gold_every == place
