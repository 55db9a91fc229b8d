"""Length-prefixed messages over file descriptors, with a limit on their size and a time to be done by."""

from __future__ import annotations

import os
import select
import struct
import time

MAX_REPLY_BYTES = 64 * 2**20
_LENGTH = struct.Struct(">Q")


class FrameError(Exception):
    """The other side is gone or does not keep to the protocol."""


class FrameTimeout(FrameError):
    """The other side did not answer in time."""


def write_frame(descriptor: int, payload: bytes, deadline: float | None = None) -> None:
    """Write the whole message. FrameError when the reader is gone, FrameTimeout past the deadline."""
    view = memoryview(_LENGTH.pack(len(payload)) + payload)
    while view:
        if deadline is not None:
            _wait(descriptor, deadline, writing=True)
        try:
            # A pipe that is ready takes this much without blocking.
            written = os.write(descriptor, view[: select.PIPE_BUF] if deadline is not None else view)
        except OSError as error:
            raise FrameError(f"the pipe is closed ({error})") from error
        view = view[written:]


def read_frame(descriptor: int, deadline: float | None = None, max_bytes: int | None = None) -> bytes:
    """One whole message. FrameError at the end of the stream, FrameTimeout past the deadline."""
    (length,) = _LENGTH.unpack(_read_exactly(descriptor, _LENGTH.size, deadline))
    if max_bytes is not None and length > max_bytes:
        raise FrameError(f"a message of {length} bytes was announced, more than the {max_bytes} allowed")
    return _read_exactly(descriptor, length, deadline)


def _read_exactly(descriptor: int, num_bytes: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    missing = num_bytes
    while missing:
        if deadline is not None:
            _wait(descriptor, deadline, writing=False)
        try:
            part = os.read(descriptor, min(missing, 2**20))
        except OSError as error:
            raise FrameError(f"the pipe is closed ({error})") from error
        if not part:
            raise FrameError("the pipe is closed")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _wait(descriptor: int, deadline: float, *, writing: bool) -> None:
    # poll, not select: a long run may hold more than 1024 descriptors.
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
    remaining = deadline - time.monotonic()
    if remaining <= 0 or not poll.poll(remaining * 1000):
        raise FrameTimeout("no answer in time")
