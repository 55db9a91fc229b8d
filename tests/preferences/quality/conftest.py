"""A store with a team, whose clock a test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.preferences.quality.team import Team

from posttrain.preferences.store.database import open_store


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def team(tmp_path, clock) -> Iterator[Team]:
    with open_store(tmp_path / "store.db", must_exist=False, now=clock) as store:
        yield Team(store)
