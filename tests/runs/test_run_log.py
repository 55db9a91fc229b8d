"""Kill at every byte, resume, and compare bytes."""

from __future__ import annotations

import errno
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.errors import CheckpointError, DataError
from posttrain.runs.json_row import decode_row, encode_row
from posttrain.runs.run_folder import RunFolder
from posttrain.runs.run_log import RowFile, RunLog, read_metrics, read_rows


def metrics_of(step):
    """What a deterministic run logs in a step; some values are awkward on purpose."""
    return {
        "reward_mean": 0.1 + step / 3,
        "grad_norm": math.inf if step == 3 else 1e-17 * step,
        "entropy": math.nan if step == 2 else -0.0,
        "note": "two\nlines \u2028 \ud800 é" if step == 1 else None,
    }


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        yield folder


def write_run(folder, first, last):
    with RunLog(folder) as log:
        assert log.resume(first - 1) == []
        for step in range(first, last + 1):
            log.write_step(step, metrics_of(step), {"step_seconds": os.getpid() + step})


def test_rows_read_back_as_they_were_written(folder):
    write_run(folder, 1, 4)
    rows = read_metrics(folder.path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["note"] == metrics_of(1)["note"]
    assert rows[0]["reward_mean"] == 0.1 + 1 / 3
    assert math.isnan(rows[1]["entropy"])
    assert rows[2]["grad_norm"] == math.inf
    assert math.copysign(1, rows[0]["entropy"]) == -1
    assert read_metrics(folder.metrics) == rows or math.isnan(rows[1]["entropy"])


def test_every_line_is_valid_json_and_ascii(folder):
    write_run(folder, 1, 4)
    for line in folder.metrics.read_bytes().splitlines():
        json.loads(line.decode("ascii"), parse_constant=pytest.fail)
    assert (
        folder.metrics.read_bytes().splitlines()[2]
        == b'{"step": 3, "entropy": -0.0, "grad_norm": null, "note": null, '
        b'"reward_mean": 1.1, "nonfinite": {"/grad_norm": "inf"}}'
    )


@pytest.mark.parametrize("checkpoint", [0, 1, 2, 3])
def test_killed_at_every_byte_and_resumed_gives_the_bytes_of_an_uninterrupted_run(
    tmp_path, checkpoint, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of runs; a killed process keeps its cache
    whole = RunFolder(tmp_path / "whole")
    with whole.lock():
        write_run(whole, 1, 4)
    expected = whole.metrics.read_bytes()
    lines = expected.splitlines(keepends=True)
    # A checkpoint of step k exists only once row k is on disk, newline included.
    safe = sum(len(line) for line in lines[:checkpoint])
    for killed_at in range(safe, len(expected) + 1):
        killed = RunFolder(tmp_path / "killed")
        with killed.lock():
            killed.metrics.write_bytes(expected[:killed_at])
            write_run(killed, checkpoint + 1, 4)
        assert killed.metrics.read_bytes() == expected, killed_at
        for path in killed.path.glob("*.jsonl"):
            path.unlink()


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    keep=st.integers(0, 7),
    cut=st.integers(0, 2000),
    garbage=st.binary(max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_truncation_keeps_exactly_the_whole_rows_up_to_the_step(
    tmp_path_factory, lengths, keep, cut, garbage
):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [encode_row(step, {"text": "x" * n}) for step, n in enumerate(lengths, start=1)]
    data = b"".join(lines)[:cut]
    path.write_bytes(data + garbage.replace(b"{", b"("))
    whole = sum(len(data) >= sum(map(len, lines[: i + 1])) for i in range(len(lines)))
    file = RowFile(path)
    file.truncate_after(keep)
    kept = min(whole, keep)
    assert path.read_bytes() == b"".join(lines[:kept])
    assert file.last_step == (kept or None)
    file.append(kept + 1, {"text": "next"})
    file.close()
    assert [row["step"] for row in read_rows(path)] == list(range(1, kept + 2))


def test_a_whole_row_that_lacks_only_its_newline_is_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(encode_row(1, {"a": 1}) + encode_row(2, {"a": 2}).rstrip(b"\n"))
    assert [row["step"] for row in read_rows(path)] == [1, 2]
    file = RowFile(path)
    file.append(3, {"a": 3})
    file.close()
    assert path.read_bytes() == b"".join(encode_row(step, {"a": step}) for step in (1, 2, 3))


def test_a_run_that_samples_nothing_leaves_no_file_of_samples(folder):
    with RunLog(folder) as log:
        log.samples.append(1)
        log.write_step(1, {"a": 1}, {})
        log.resume(1)
        assert not folder.samples.exists()
        log.samples.append(2, {"text": "sampled"})
        log.write_step(2, {"a": 2}, {})
    assert [row["step"] for row in read_rows(folder.samples)] == [2]
    with pytest.raises(ValueError, match=r"samples.jsonl is closed"):
        log.samples.append(3, {"text": "late"})


def test_a_step_is_never_logged_twice(folder):
    with RunLog(folder) as log:
        log.write_step(5, {"a": 1}, {})
        with pytest.raises(ValueError, match="already has step 5"):
            log.write_step(5, {"a": 1}, {})
        with pytest.raises(ValueError, match="already has step 5"):
            log.metrics.append(4, {"a": 1})


def test_steps_after_the_checkpoint_appear_once(folder):
    write_run(folder, 1, 7)
    write_run(folder, 6, 9)
    assert [row["step"] for row in read_metrics(folder.path)] == list(range(1, 10))
    assert [row["step"] for row in read_rows(folder.timings)] == list(range(1, 10))


def test_rows_lost_by_someone_else_are_reported(folder):
    write_run(folder, 1, 2)
    with RunLog(folder) as log:
        (sentence,) = log.resume(5)
    assert "ends at step 2" in sentence
    assert "3 rows" in sentence


def test_the_evaluation_before_training_survives_a_start_from_step_0(folder):
    with RunLog(folder) as log:
        log.resume(0)
        log.write_evaluation(0, {"accuracy": 0.2})
        log.write_step(1, {"a": 1}, {})
        log.write_evaluation(1, {"accuracy": 0.3})
        log.resume(0)
        assert log.read_metrics() == []
        assert log.read_evaluations() == [{"step": 0, "accuracy": 0.2}]


@pytest.mark.parametrize("bad", [b"garbage\n", b"\x00\x00\x00\n", b'{"a": 1}\n', b"[1]\n", b"\xff\xfe\n"])
def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path, bad):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(encode_row(1, {}) + bad + encode_row(2, {}))
    with pytest.raises(DataError, match="line 2"):
        read_rows(path)
    with pytest.raises(DataError, match="line 2"):
        RowFile(path)
    assert path.read_bytes().endswith(encode_row(2, {}))


def test_rows_out_of_order_are_an_error_and_not_a_silent_loss(tmp_path):
    path = tmp_path / "rows.jsonl"
    file = RowFile(path)
    file.close()
    path.write_bytes(encode_row(1, {}) + encode_row(9, {}) + encode_row(2, {}))
    with pytest.raises(DataError, match="line 2"):
        RowFile(path).truncate_after(5)


def test_a_full_disk_leaves_the_last_whole_row(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    file = RowFile(path)
    file.append(1, {"a": 1})
    real_write = os.write

    def half_then_full(descriptor, data):
        monkeypatch.setattr(os, "write", full)
        return real_write(descriptor, data[: len(data) // 2])

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(CheckpointError, match=r"No space left.*resume"):
        file.append(2, {"a": 2})
    monkeypatch.undo()
    assert path.read_bytes() == encode_row(1, {"a": 1})
    file.append(2, {"a": 2})
    file.close()
    assert [row["step"] for row in read_rows(path)] == [1, 2]


def test_a_crash_while_truncating_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    data = b"".join(encode_row(step, {}) for step in range(1, 6))
    path.write_bytes(data)
    file = RowFile(path)

    def crash(*_):
        raise OSError("crash")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, crash)
            with pytest.raises(OSError, match="crash"):
                file.truncate_after(2)
        assert path.read_bytes() == data
    file.truncate_after(2)
    file.close()
    assert path.read_bytes() == data[: len(data) * 2 // 5]
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_of_numpy_are_numbers_and_other_things_are_refused():
    row = {"a": np.float32(0.5), "b": np.int64(3), "c": np.array(2.0), "d": [np.float64(1.5)]}
    assert decode_row(encode_row(1, row)) == {"step": 1, "a": 0.5, "b": 3, "c": 2.0, "d": [1.5]}
    with pytest.raises(TypeError, match="/x"):
        encode_row(1, {"x": object()})
    with pytest.raises(TypeError, match="Use str keys"):
        encode_row(1, {"x": {1: 2}})
    with pytest.raises(ValueError, match="step"):
        encode_row(1, {"step": 2})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda k: k not in ("step", "nonfinite")), values, max_size=4)
)
@settings(max_examples=150, deadline=None)
def test_any_row_comes_back_and_is_one_line(row):
    line = encode_row(3, row)
    assert line.count(b"\n") == 1
    assert repr(sorted(decode_row(line).items())) == repr(sorted(_sorted_keys({"step": 3, **row}).items()))
    assert encode_row(3, dict(reversed(row.items()))) == line


def _sorted_keys(value):
    if isinstance(value, dict):
        return {key: _sorted_keys(value[key]) for key in sorted(value)}
    return [_sorted_keys(item) for item in value] if isinstance(value, list) else value
