"""What is held out is decided by content alone: the one rule that tasks and files share.

No seed, position or file name plays a part, so what one run evaluates on no other run trains on, and a file
that grows or is shuffled keeps its split.
"""

from __future__ import annotations

import hashlib
from typing import Final

_RANGE: Final = 1 << 64
# Must never change: an example would change sides between two versions of posttrain.
_SALT: Final = "posttrain held-out share"


def content_number(content: str) -> int:
    """A number from 0 to 2^64 - 1 that looks random and is the same for the same content, on every machine."""
    digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def is_in_share(content: str, share: float) -> bool:
    """Whether this content is among the held-out `share` (0 to 1) of all contents.

    What is held out at a small share is held out at every larger one.
    """
    return content_number(f"{_SALT}|{content}") < share * _RANGE
