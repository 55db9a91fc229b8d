"""Passwords: what is accepted, and argon2id hashes of them."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from posttrain.errors import ConfigError

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 1000

# A hash takes 64 MiB and a core for a while (RFC 9106, second recommendation). Two at a time: a flood of sign-ins
# must not take the memory of the training beside it.
_hasher: Final = PasswordHasher()
_two_at_a_time: Final = threading.BoundedSemaphore(2)


def hash_of_password(password: str, *, name: str) -> str:
    """The hash to be stored. ConfigError for a password that is too short, too long, or the person's name."""
    password = _normal(password)
    if len(password) < MIN_LENGTH:
        raise ConfigError(
            f"the password has {len(password)} characters; take at least {MIN_LENGTH}. Four words that have nothing to "
            "do with each other are easy to remember and hard to guess."
        )
    if len(password) > MAX_LENGTH:
        raise ConfigError(f"the password has {len(password)} characters; at most {MAX_LENGTH} are taken.")
    if len(set(password)) < 4 or password.casefold() in {name.casefold(), name.casefold()[::-1]}:
        raise ConfigError(
            "this password is guessed at once. Take four words that have nothing to do with each other."
        )
    with _two_at_a_time:
        return _hasher.hash(password)


def is_password(password: str, stored_hash: str | None) -> bool:
    """Whether the password is the one of this hash.

    Without a hash (an unknown name, an invite not yet used) it is False after the same work, so that the time an
    answer takes does not tell who has an account.
    """
    with _two_at_a_time:
        nothing = _hash_of_nothing()  # made at the first call, whoever that asks for
        try:
            matches = _hasher.verify(stored_hash or nothing, _normal(password)[:MAX_LENGTH])
        except (VerificationError, InvalidHashError):
            return False
    return matches and stored_hash is not None


@cache
def _hash_of_nothing() -> str:
    return _hasher.hash("a password that nobody has")


def _normal(password: str) -> str:
    """One form for each text: keyboards write the same é in two ways."""
    return unicodedata.normalize("NFC", password)
