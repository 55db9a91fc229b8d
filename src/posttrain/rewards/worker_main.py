"""The program of a reward worker: load one function, then answer calls until the pipe closes.

Started as `python -m posttrain.rewards.worker_main REQUEST_FD REPLY_FD`. Requests are pickles from the parent;
replies are JSON, so that nothing that user code writes can run in the parent.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from posttrain.rewards.frames import FrameError, read_frame, write_frame
from posttrain.rewards.user_function import LoadableFunction

MAX_TEXT_CHARS = 8000
MAX_OUTPUT_CHARS = 2000


class BoundedOutput(io.TextIOBase):
    """Stands in for stdout and stderr: keeps the last characters written and forgets the rest."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        """Keep the end of the text; the number of characters is the answer that callers expect."""
        self.text = (self.text + text[-MAX_OUTPUT_CHARS:])[-MAX_OUTPUT_CHARS:]
        return len(text)

    def writable(self) -> bool:
        """True."""
        return True


def main() -> None:
    """Serve until the parent closes the pipe or is gone."""
    request_fd, reply_fd = int(sys.argv[1]), int(sys.argv[2])
    # Ctrl-C is for the parent, which then kills this process with its whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    try:
        start = pickle.loads(read_frame(request_fd))
    except FrameError:
        return
    sys.path[:] = start["sys_path"]
    limit = start["memory_limit_bytes"]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = BoundedOutput()
    function = _load(start["function"], output, reply_fd)
    if function is not None:
        _serve(function, output, request_fd, reply_fd)
    os._exit(0)


def _load(loadable: LoadableFunction, output: BoundedOutput, reply_fd: int) -> Callable[..., Any] | None:
    """The user's function, after telling the parent how loading it went; None where it failed."""
    sys.stdout = sys.stderr = output
    try:
        function = loadable.load()
    except BaseException:
        write_frame(reply_fd, json.dumps({"failure": _traceback(output)}).encode())
        return None
    # From here on what is written past Python's streams goes nowhere: the parent has stopped reading it.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    write_frame(reply_fd, json.dumps({"ready": True}).encode())
    return function


def _serve(function: Callable[..., Any], output: BoundedOutput, request_fd: int, reply_fd: int) -> None:
    process = os.getpid()
    while True:
        try:
            request = read_frame(request_fd)
        except FrameError:
            return
        output.text = ""
        reply: dict[str, Any]
        try:
            num_samples, arguments, keywords = pickle.loads(request)
            result = function(*arguments, **keywords)
            if inspect.isawaitable(result):
                result = asyncio.run(_awaited(result))
            reply = {"values": read_values(result, num_samples)}
        except BaseException:
            reply = {"failure": _traceback(output)}
        if os.getpid() != process:
            os._exit(0)  # a child that the function forked and let return
        try:
            write_frame(reply_fd, json.dumps(reply).encode())
        except FrameError:
            return


async def _awaited(result: Any) -> Any:
    return await result


def read_values(result: Any, num_samples: int | None) -> list[float | str]:
    """One finite float, or the reason why there is none, for each sample; `num_samples=None` reads a single one.

    TypeError or ValueError where the result is no list of that length: no sample of the call can be trusted.
    """
    if num_samples is None:
        if isinstance(result, dict):  # verl's functions may return {"score": ..., further numbers}
            if "score" not in result:
                raise ValueError(f"the function returned a dict without the key 'score': {_short(result)}")
            result = result["score"]
        return [_value(result)]
    if (
        isinstance(result, (str, bytes, dict))
        or not hasattr(result, "__len__")
        or not hasattr(result, "__iter__")
    ):
        raise TypeError(
            f"the function must return a list of {num_samples} numbers; it returned {_short(result)}"
        )
    if len(result) != num_samples:
        raise ValueError(f"the function returned {len(result)} scores for {num_samples} completions")
    return [_value(value) for value in result]


def _value(value: Any) -> float | str:
    if value is None:
        return "the function returned None for this completion"
    if hasattr(value, "item") and not isinstance(value, (int, float)):
        try:
            value = value.item()  # numpy and torch scalars
        except Exception as error:
            return f"the function returned {_short(value)}, which is not one number ({error})"
    if not isinstance(value, (int, float)):
        return f"the function returned {_short(value)} ({type(value).__name__}) where a number is expected"
    try:
        number = float(value)
    except OverflowError:
        return "the function returned a whole number that is too large for a float"
    return number if math.isfinite(number) else f"the function returned {number}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 100 else text[:100] + "..."


def _traceback(output: BoundedOutput) -> str:
    """The traceback from the user's frames on, with what the function printed last."""
    kind, error, trace = sys.exc_info()
    try:
        own = (__file__, sys.modules[LoadableFunction.__module__].__file__)
        while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename in own:
            trace = trace.tb_next
        text = "".join(traceback.format_exception(kind, error, trace, limit=-20))
    except BaseException:  # an exception whose own text raises
        text = f"{kind.__name__ if kind else 'error'} (its traceback could not be formatted)"
    if len(text) > MAX_TEXT_CHARS:
        text = text[: MAX_TEXT_CHARS // 2] + "\n[...]\n" + text[-MAX_TEXT_CHARS // 2 :]
    printed = output.text.strip()
    return text + (f"Printed before: {printed}\n" if printed else "")


def _die_with_parent() -> None:
    """Kill the whole group once the parent is gone, even while the function hangs."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
