"""Whatever fails or dies, at whichever call: loading gives the old checkpoint or the new one, never a mix.

After SQLite's crash and I/O error tests: fail call N for N = 1, 2, 3, ... until a run gets through.
"""

import errno
import os
import random
import signal
import time
import warnings

import pytest
import torch

from posttrain.errors import CheckpointError
from posttrain.training import CheckpointStore

CALLS = ("open", "write", "fsync", "close", "mkdir", "replace", "unlink", "rmdir")


class Killed(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


class Faults:
    """Lets the N-th of the patched calls fail: once, from then on, or by death."""

    def __init__(self, monkeypatch, number: int, kind: str) -> None:
        self.number, self.kind, self.count, self.hit = number, kind, 0, None
        for name in CALLS:
            monkeypatch.setattr(os, name, self._patched(name, getattr(os, name)))

    def _patched(self, name, real):
        def call(*arguments, **others):
            self.count += 1
            is_after = self.count > self.number and self.kind != "once"
            if self.count != self.number and not is_after:
                return real(*arguments, **others)
            self.hit = self.hit or name
            if self.kind == "killed":
                if name == "write" and not is_after:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])  # half of it is on disk
                raise Killed
            if name == "close":
                real(*arguments)  # a failing close closes all the same
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        return call


def save(store: CheckpointStore, step: int, value: int) -> None:
    def write_model(folder) -> None:
        for part in range(2):
            (folder / f"weights{part}").write_bytes(bytes([value]) * 100)

    store.save(step, write_model, {"x": torch.full((9,), float(value))}, {"value": value})


def loaded_value(folder) -> int:
    """The value that every part of the checkpoint agrees on; fails on any damage or mix."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint = CheckpointStore(folder).load()
    assert checkpoint is not None
    value = checkpoint.state["value"]
    assert checkpoint.tensors["x"].tolist() == [float(value)] * 9
    for part in range(2):
        assert (checkpoint.model_folder / f"weights{part}").read_bytes() == bytes([value]) * 100
    return value


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["once", "from then on", "killed"])
@pytest.mark.parametrize(("old_step", "new_step"), [(1, 2), (2, 2)], ids=["new step", "step saved again"])
def test_a_fault_at_every_call(tmp_path, monkeypatch, kind, old_step, new_step):
    hits, found = set(), set()
    for number in range(1, 200):
        folder = tmp_path / str(number)
        store = CheckpointStore(folder, keep=1)
        save(store, old_step, 1)
        with monkeypatch.context() as patched, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a delete that failed
            faults = Faults(patched, number, kind)
            try:
                save(store, new_step, 2)
                ended = "well"
            except (CheckpointError, Killed) as error:
                ended = type(error).__name__
        value = loaded_value(folder)
        assert value in (1, 2)
        if ended == "well":
            assert value == 2
        found.add((ended, value))
        # Whoever comes next can go on, and leaves nothing behind.
        fresh = CheckpointStore(folder, keep=1)
        save(fresh, 3, 3)
        assert loaded_value(folder) == 3
        assert [path.name for path in folder.iterdir()] == ["step_00000003"]
        if faults.hit is None:
            break
        hits.add(faults.hit)
    else:
        pytest.fail("no run got through")
    assert hits == set(CALLS)
    failure = "Killed" if kind == "killed" else "CheckpointError"
    assert {(failure, 1), (failure, 2)} <= found


def test_a_kill_inside_the_model_writer(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1, 1)

    def write_model(folder) -> None:
        (folder / "weights0").write_bytes(b"half")
        raise Killed

    with pytest.raises(Killed):
        store.save(2, write_model, {}, {})
    assert loaded_value(tmp_path) == 1
    save(store, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000002"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_random_moments(tmp_path):
    chance = random.Random(0)
    step = 0
    save(CheckpointStore(tmp_path, keep=1), 1, 1)
    for _ in range(25):
        child = os.fork()
        if child == 0:
            store = CheckpointStore(tmp_path, keep=1)
            while True:
                step += 1
                save(store, step, 1 + step % 200)
        time.sleep(chance.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        loaded_value(tmp_path)
        step = CheckpointStore(tmp_path).load().step
    assert step > 3
