"""How the cards of an item stand for one person."""

from __future__ import annotations

import hashlib


def order_shown(shuffle_seed: int, item_id: int, num_responses: int) -> tuple[int, ...]:
    """A permutation drawn by the person's seed and the item: entry `place` is the response that stands there.

    The same whenever it is asked for, in every version of Python; all orders are equally likely over items.
    """
    return tuple(sorted(range(num_responses), key=lambda position: _draw(shuffle_seed, item_id, position)))


def _draw(*names: int) -> bytes:
    return hashlib.sha256("/".join(map(str, names)).encode()).digest()
