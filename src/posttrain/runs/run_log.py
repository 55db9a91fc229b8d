"""Rows that survive: what a run logs, and how a resumed run goes on in the same files.

A row is on disk before `RunLog.write_step` returns. Write the row of a step BEFORE the checkpoint of that
step: then a checkpoint never knows of a row that the disk does not have, and `RunLog.resume(step)` has only
to remove rows that came after it.

Values that a second run of the same seed would repeat go to metrics; anything measured with a clock goes to
timings. So the metrics file of a killed and resumed run has the same bytes as that of an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from posttrain.errors import CheckpointError, DataError
from posttrain.runs.durable_file import replace_file, sync_folder
from posttrain.runs.json_row import Row, decode_row, encode_row
from posttrain.runs.run_folder import RunFolder


class RowFile:
    """A JSONL file that rows are appended to; `step` never falls, and rises with every row if `one_a_step`.

    Opening it cuts off a half-written last line. DataError when a line in the middle cannot be read. The file is
    made at once or, if `made_with_first_row`, when there is something to write.
    """

    def __init__(self, path: Path, *, one_a_step: bool = True, made_with_first_row: bool = False):
        self.path = path
        self.one_a_step = one_a_step
        self.made_with_first_row = made_with_first_row
        self.last_step: int | None = None
        self._descriptor: int | None = None
        self._is_closed = False
        self._keep(None)

    def append(self, step: int, *rows: Mapping[str, Any]) -> None:
        """The rows stand in the file, each in one write; they are on disk after `sync`.

        ValueError: the step was logged before. CheckpointError: the disk does not take them; then the file
        ends with the last whole row.
        """
        if self.last_step is not None and (
            step < self.last_step or (self.one_a_step and step == self.last_step)
        ):
            raise ValueError(
                f"{self.path.name} already has step {self.last_step}, so a row of step {step} would double "
                f"or reorder it. After a restart call resume(step) with the checkpoint's step first."
            )
        if self.one_a_step and len(rows) != 1:
            raise ValueError(f"{self.path.name} takes one row a step, not {len(rows)}")
        lines = [encode_row(step, row) for row in rows]
        if self._is_closed:
            raise ValueError(f"{self.path} is closed")
        if not lines:
            return
        descriptor = self._opened()
        for line in lines:
            self._write(descriptor, line)
        self.last_step = step

    def _write(self, descriptor: int, line: bytes) -> None:
        size_before = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(line):  # one write, except where the system takes only a part
                written += os.write(descriptor, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size_before)
            raise CheckpointError(
                f"{self.path} could not be written: {error.strerror}. Rows up to the step before are safe; "
                "make room or fix the disk, then resume the run."
            ) from error

    def sync(self) -> None:
        """All rows appended so far are on disk when this returns. CheckpointError when they cannot be."""
        if self._descriptor is None:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise CheckpointError(
                f"{self.path} could not be written to disk: {error.strerror}. Fix the disk, "
                "then resume the run."
            ) from error

    def truncate_after(self, step: int) -> None:
        """Rows of later steps are gone from the file, all at once; those up to `step` are as they were."""
        self._keep(step)

    def _keep(self, step: int | None) -> None:
        self.close()
        existed = self.path.exists()
        kept_bytes, last_step, is_whole = _kept_prefix(self.path, step) if existed else (0, None, True)
        if existed and (not is_whole or kept_bytes != self.path.stat().st_size):
            replace_file(self.path, _first_bytes(self.path, kept_bytes, add_newline=not is_whole))
        self.last_step = last_step
        self._is_closed = False
        if not self.made_with_first_row:
            self._opened()

    def _opened(self) -> int:
        """The file's descriptor; the file is made if need be."""
        if self._descriptor is None:
            existed = self.path.exists()
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644
            )
            if not existed:
                sync_folder(self.path.parent)
        return self._descriptor

    def close(self) -> None:
        """No more rows; closing twice is fine."""
        self._is_closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _kept_prefix(path: Path, step: int | None) -> tuple[int, int | None, bool]:
    """(bytes of the rows to keep, step of the last of them, whether they end with a newline).

    Steps never fall within a file, so what is kept is a prefix. A line that cannot be read is the end of
    what a crash left, unless a row that is to be kept follows it: then the file was damaged otherwise, and
    dropping that row in silence would falsify the run.
    """
    kept_bytes, last_step, is_whole = 0, None, True
    damaged_line = 0
    position = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            position += len(line)
            try:
                row_step = decode_row(line)["step"]
            except ValueError:
                damaged_line = damaged_line or number
                continue
            if step is not None and row_step > step:
                damaged_line = damaged_line or number  # no damage unless a row to keep follows it
                continue
            if damaged_line:
                raise _damaged(path, damaged_line)
            kept_bytes, last_step, is_whole = position, row_step, line.endswith(b"\n")
    return kept_bytes, last_step, is_whole


def _first_bytes(path: Path, count: int, *, add_newline: bool) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while count > 0 and (chunk := file.read(min(count, 1 << 20))):
            count -= len(chunk)
            yield chunk
    if add_newline:
        yield b"\n"


def _damaged(path: Path, line: int) -> DataError:
    return DataError(
        f"{path}, line {line}: cannot be read or is out of order, though rows of the run follow it, so no "
        "crash left it: something else wrote to the file. Mend or delete that line, then try again."
    )


def read_rows(path: Path | str) -> list[Row]:
    """Every row of a log, oldest first; a half-written last line is left out, a missing file has no rows.

    DataError names file and line when a line in the middle cannot be read.
    """
    path = Path(path)
    rows: list[Row] = []
    damaged_line = 0
    if not path.exists():
        return rows
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = decode_row(line)
            except ValueError:
                damaged_line = damaged_line or number
                continue
            if damaged_line:
                raise _damaged(path, damaged_line)
            rows.append(row)
    return rows


def read_metrics(run: Path | str) -> list[Row]:
    """The metrics rows of a run, given its folder or its metrics file."""
    path = Path(run)
    return read_rows(RunFolder(path).metrics if path.is_dir() else path)


class RunLog:
    """The four row files of one run: metrics, timings, samples, evaluations. Use it under `RunFolder.lock`.

    Example:
        with folder.lock(), RunLog(folder) as log:
            log.resume(checkpoint.step)                     # a new run: log.resume(0)
            log.write_step(step, metrics, timings)          # then the checkpoint
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.metrics = RowFile(folder.metrics)
        self.timings = RowFile(folder.timings)
        self.samples = RowFile(folder.samples, one_a_step=False, made_with_first_row=True)
        self.evaluations = RowFile(folder.evaluations)

    def resume(self, step: int) -> list[str]:
        """Rows after `step` are gone from all files; what the log then lacks is said in sentences, or [].

        `step` is the number of updates in the checkpoint. With 0 only what was evaluated before the first
        update stays.
        """
        for file in self._files():
            file.truncate_after(step)
        last = self.metrics.last_step or 0
        if last < step:
            return [
                f"{self.folder.metrics} ends at step {last}, but the run goes on after step {step}: "
                f"{step - last} rows were lost outside of this program. The training itself is not affected."
            ]
        return []

    def write_step(self, step: int, metrics: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """The step's row is on disk in both files. `metrics` must not hold anything measured with a clock."""
        self.timings.append(step, timings)
        self.metrics.append(step, metrics)
        # Timings first: a metrics row then always has its timings, and samples of the step are synced along.
        for file in (self.timings, self.samples, self.metrics):
            file.sync()

    def write_evaluation(self, step: int, evaluation: Mapping[str, Any]) -> None:
        """`Evaluation.to_dict()` of the weights after `step` updates is on disk."""
        self.evaluations.append(step, evaluation)
        self.evaluations.sync()

    def read_metrics(self) -> list[Row]:
        """The metrics rows so far."""
        return read_rows(self.folder.metrics)

    def read_evaluations(self) -> list[Row]:
        """The evaluations so far."""
        return read_rows(self.folder.evaluations)

    def _files(self) -> Sequence[RowFile]:
        return (self.metrics, self.timings, self.samples, self.evaluations)

    def close(self) -> None:
        """All files are closed; closing twice is fine."""
        for file in self._files():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
