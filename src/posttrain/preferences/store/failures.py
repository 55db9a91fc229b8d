"""What the store refuses, so that callers can tell the cases apart (the pages answer each with its own status).

DataError
├── StoreUnavailable    the database does not answer or stays locked: nothing was stored, try again
├── UnknownItem         no such item
├── InvalidSubmission   it does not fit its item
├── StaleJudgement      what it replaces is not the person's current judgement
├── NotAssigned         the person was never given this item
└── StaleDraft          a newer draft is stored
"""

from __future__ import annotations

from posttrain.errors import DataError


class StoreUnavailable(DataError):
    """The database does not answer, or another program keeps it locked; nothing was stored."""


class UnknownItem(DataError):
    """There is no item with that number."""


class InvalidSubmission(DataError):
    """A judgement that does not fit its item; nothing was stored. `reason` says why without naming the item."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class StaleJudgement(DataError):
    """What a judgement or a draft is to replace is not the person's current one of that item; nothing was stored.

    `current` is the number of the current one, None where there is none.
    """

    def __init__(self, message: str, current: int | None) -> None:
        super().__init__(message)
        self.current = current


class NotAssigned(DataError):
    """The person was never given this item and has not judged it."""


class StaleDraft(DataError):
    """A draft with a higher revision is stored already; nothing was stored. `revision` is that of the stored one."""

    def __init__(self, message: str, revision: int) -> None:
        super().__init__(message)
        self.revision = revision
