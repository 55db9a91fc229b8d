"""Why each response of a record ended, where its file says so."""

from __future__ import annotations

from typing import Final, cast

from posttrain.data.record_files import BadRecord, Record
from posttrain.types import FinishReason

_KNOWN: Final = ("eos", "stop", "length", "")  # "" where it is not known of this response alone


def read_finish_reasons(record: Record, num_responses: int) -> tuple[FinishReason, ...]:
    """The column `finish_reasons`, one for each response; () without it. BadRecord for another number or word."""
    reasons = record.get("finish_reasons")
    if not reasons:
        return ()
    if not isinstance(reasons, list) or [reason for reason in reasons if reason not in _KNOWN]:
        raise BadRecord("the column 'finish_reasons' must be a list of 'eos', 'stop' or 'length'")
    if len(reasons) != num_responses:
        raise BadRecord(f"{len(reasons)} finish_reasons for {num_responses} responses; give one for each")
    return tuple(cast("list[FinishReason]", reasons))
