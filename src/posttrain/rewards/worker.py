"""Worker processes that run a user's reward function where it can do no harm.

Each is a spawned Python process of its own session (never a fork, no torch), with a memory limit, spoken to over
pipes. A call that hangs is ended with its whole process group; a worker that dies is replaced. Nothing that the
function does ends the run: every call comes back with values or with the reason why there are none.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cloudpickle

from posttrain.errors import ConfigError
from posttrain.rewards.frames import MAX_REPLY_BYTES, FrameError, FrameTimeout, read_frame, write_frame
from posttrain.rewards.user_function import LoadableFunction


@dataclass(frozen=True, slots=True)
class RewardLimits:
    """What a reward function may use: seconds for one call, address space in MiB, and how many processes serve it.

    `memory_limit_mb=None` sets no limit (a function that imports torch with CUDA needs tens of GiB of addresses).
    """

    time_limit_seconds: float = 30.0
    memory_limit_mb: int | None = 8192
    num_workers: int = 1
    startup_limit_seconds: float = 120.0

    def __post_init__(self) -> None:
        for name in ("time_limit_seconds", "startup_limit_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be a positive number of seconds, not {getattr(self, name)}")
        if self.num_workers < 1:
            raise ConfigError(f"num_workers must be at least 1, not {self.num_workers}")
        if self.memory_limit_mb is not None and self.memory_limit_mb < 64:
            raise ConfigError(
                f"memory_limit_mb must be at least 64 (Python alone needs that), not {self.memory_limit_mb}"
            )


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the function; `num_samples` scores are expected, or a single one where it is None."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    num_samples: int | None


@dataclass(frozen=True, slots=True)
class CallResult:
    """A float or the reason why there is none, for each sample; or the failure of the whole call."""

    values: tuple[float | str, ...] = ()
    failure: str | None = None
    timed_out: bool = False


class StartupFailure(Exception):
    """The function could not be loaded in a worker; the text says why."""


class Worker:
    """One process with one function loaded."""

    def __init__(self, function: LoadableFunction, limits: RewardLimits) -> None:
        self._limits = limits
        self._terminated = False
        request_read, self._request = os.pipe()
        self._reply, reply_write = os.pipe()
        try:
            with tempfile.TemporaryFile() as early_output:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "posttrain.rewards.worker_main",
                        str(request_read),
                        str(reply_write),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=early_output,
                    stderr=early_output,
                    pass_fds=(request_read, reply_write),
                    start_new_session=True,
                    env=_worker_environment(),
                )
                os.close(request_read)
                os.close(reply_write)
                self._start(function, early_output)
        except BaseException:
            self.kill()
            raise

    def call(self, call: Call) -> CallResult:
        """Run the function once. FrameError never leaves: a dead or hanging worker is a failure."""
        try:
            request = cloudpickle.dumps((call.num_samples, call.arguments, call.keywords))
        except Exception as error:
            return CallResult(failure=f"the columns of this prompt cannot be sent to the worker: {error!r}")
        deadline = time.monotonic() + self._limits.time_limit_seconds
        try:
            write_frame(self._request, request, deadline)
            reply = json.loads(read_frame(self._reply, deadline, MAX_REPLY_BYTES))
            return _read_reply(reply, 1 if call.num_samples is None else call.num_samples)
        except FrameTimeout:
            self.kill()
            seconds = self._limits.time_limit_seconds
            return CallResult(
                failure=f"the function did not return within {seconds:g} s and was killed; raise "
                "time_limit_seconds if it needs longer",
                timed_out=True,
            )
        except (FrameError, ValueError, KeyError, TypeError) as error:
            return CallResult(failure=f"the worker process {self._end()} ({error})")

    @property
    def is_alive(self) -> bool:
        """True until the process has ended or been killed."""
        return not self._terminated and self._process.poll() is None

    def terminate(self) -> None:
        """End the process and everything it started, now; a call in flight comes back with a failure."""
        process = getattr(self, "_process", None)
        if process is None or self._terminated:
            return
        # Once only: later the id might belong to somebody else.
        self._terminated = True
        # The group outlives its leader where the function left processes behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill(self) -> None:
        """Terminate and close the pipes; only for the thread that owns this worker; safe to call twice."""
        self.terminate()
        for name in ("_request", "_reply"):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                os.close(descriptor)

    def _start(self, function: LoadableFunction, early_output: Any) -> None:
        limit = self._limits.memory_limit_mb
        start = {
            "function": function,
            "sys_path": sys.path,
            "memory_limit_bytes": None if limit is None else limit * 2**20,
        }
        deadline = time.monotonic() + self._limits.startup_limit_seconds
        try:
            write_frame(self._request, pickle.dumps(start), deadline)
            reply = json.loads(read_frame(self._reply, deadline, MAX_REPLY_BYTES))
        except FrameTimeout:
            raise StartupFailure(
                f"{function.name} was not loaded within {self._limits.startup_limit_seconds:g} s; raise "
                "startup_limit_seconds if its module needs longer"
            ) from None
        except (FrameError, ValueError) as error:
            end = self._end()
            early_output.seek(0)
            text = early_output.read(8000).decode(errors="replace")
            raise StartupFailure(
                f"the worker process {end} while it loaded {function.name} ({error})\n{text}"
            ) from None
        if "failure" in reply:
            raise StartupFailure(f"{function.name} could not be loaded:\n{reply['failure']}")

    def _end(self) -> str:
        """Make sure that the process is gone and say how it went."""
        try:
            code: int | None = self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        if code is None:
            return "closed its pipe and was killed"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"exited with status {code}"


class WorkerPool:
    """`num_workers` processes with one function; results in the order of the calls.

    A context manager; `close()` ends the processes, and so does the end of the program.
    """

    def __init__(self, function: LoadableFunction, limits: RewardLimits) -> None:
        self.function = function
        self.limits = limits
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        _POOLS.add(self)

    def check(self) -> None:
        """Start one worker, so that a function that cannot be loaded is found before anything else is.

        ConfigError with the traceback in that case.
        """
        try:
            self._give_back(self._take())
        except StartupFailure as failure:
            raise ConfigError(f"a reward function cannot be used: {failure}") from None

    def run(self, calls: Sequence[Call]) -> list[CallResult]:
        """One result for each call, in order; never raises for what the function does."""
        if self._closed:
            raise RuntimeError("this pool of reward workers was closed; build the reward again")
        try:
            num_threads = min(self.limits.num_workers, len(calls))
            if num_threads <= 1:
                return [self._run_one(call) for call in calls]
            with ThreadPoolExecutor(num_threads, thread_name_prefix="reward-worker") as threads:
                try:
                    return list(threads.map(self._run_one, calls))
                except BaseException:
                    # Ends the calls in flight, so that leaving the `with` does not wait for their time limits.
                    self.close()
                    raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all processes; calls that wait get a failure."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy, self._all = self._all.difference(idle), set()
        for worker in idle:
            worker.kill()
        for worker in busy:
            # Its own thread closes the pipes: closing them under its feet could hit a descriptor of another.
            worker.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_one(self, call: Call) -> CallResult:
        try:
            worker = self._take()
        except StartupFailure as failure:
            return CallResult(failure=str(failure))
        try:
            return worker.call(call)
        finally:
            self._give_back(worker)

    def _take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise StartupFailure("the pool of reward workers was closed")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._all.discard(worker)
                worker.kill()
        worker = Worker(self.function, self.limits)
        with self._lock:
            if self._closed:
                worker.kill()
                raise StartupFailure("the pool of reward workers was closed")
            self._all.add(worker)
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            if worker.is_alive and not self._closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.kill()


_POOLS: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_POOLS):
        pool.close()


def _worker_environment() -> dict[str, str]:
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # One thread each: several workers share the machine with the learner.
    return {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _read_reply(reply: dict[str, Any], num_values: int) -> CallResult:
    """The reply checked: the function shares its process with the code that wrote it, so it is not trusted."""
    if "failure" in reply:
        return CallResult(failure=str(reply["failure"]))
    values = reply["values"]
    if not isinstance(values, list) or len(values) != num_values:
        raise ValueError("its answer does not fit the question")
    if not all(
        isinstance(value, str) or (isinstance(value, float) and math.isfinite(value)) for value in values
    ):
        raise ValueError("its answer holds something that is neither a number nor a reason")
    return CallResult(values=tuple(values))
