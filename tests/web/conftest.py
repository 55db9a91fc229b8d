"""Stores for the pages' tests, with a clock that stands until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from posttrain.preferences.store import passwords
from posttrain.preferences.store.database import Store, open_store


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _fast_hashes(monkeypatch):
    """Hashes that cost nothing; tests/preferences/store/test_passwords.py looks at the real ones."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._hash_of_nothing.cache_clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path, clock) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", must_exist=False, now=clock) as opened:
        yield opened
