import errno
import json
import os
import random
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posttrain.errors import CheckpointError, ConfigError
from posttrain.training import CheckpointStore, CheckpointWarning, random_state, restore_random_state
from posttrain.training.tensor_file import tensor_file_chunks


def write_model(value: int):
    def write(folder) -> None:
        (folder / "weights.bin").write_bytes(bytes([value]) * 1000)
        (folder / "adapter").mkdir()
        (folder / "adapter" / "config.json").write_text("{}")

    return write


def tensors(value: int) -> dict[str, torch.Tensor]:
    return {
        "master/w": torch.full((3, 2), float(value)),
        "moment": torch.full((5,), value, dtype=torch.bfloat16),
    }


def save(store: CheckpointStore, step: int) -> None:
    store.save(step, write_model(step), tensors(step), {"step": step, "text": "é"})


def check(checkpoint, step: int) -> None:
    """All of it is of this step: never a mix."""
    assert checkpoint is not None
    assert checkpoint.step == step
    assert checkpoint.state == {"step": step, "text": "é"}
    assert (checkpoint.model_folder / "weights.bin").read_bytes() == bytes([step]) * 1000
    assert (checkpoint.model_folder / "adapter" / "config.json").read_text() == "{}"
    for name, tensor in tensors(step).items():
        assert torch.equal(checkpoint.tensors[name], tensor)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_round_trip_and_its_layout(tmp_path):
    store = CheckpointStore(tmp_path / "run" / "checkpoints")
    assert store.load() is None
    save(store, 12)
    assert names(store.folder) == ["step_00000012"]
    assert names(store.folder / "step_00000012") == [
        "manifest.json",
        "model",
        "state.json",
        "training_state.safetensors",
    ]
    check(CheckpointStore(store.folder).load(), 12)
    check(store.load(store.folder / "step_00000012"), 12)


def test_our_tensor_file_is_what_safetensors_reads(tmp_path):
    given = {
        "matrix": torch.randn(4, 3).t(),
        "half": torch.randn(5).bfloat16(),
        "double": torch.randn(2, dtype=torch.float64),
        "ids": torch.arange(3),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "needs gradient": torch.ones(2, requires_grad=True),
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(bytes(chunk) for chunk in tensor_file_chunks(given)))
    read = load_file(path)
    assert read.keys() == given.keys()
    for name, tensor in given.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor.detach())


def test_no_tensors_at_all(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, write_model(1), {}, {})
    assert store.load().tensors == {}


def test_retention_is_by_number_and_keeps_complete_ones(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (8, 9, 10):
        save(store, step)
    assert names(tmp_path) == ["step_00000009", "step_00000010"]
    check(store.load(), 10)


def test_numbers_beyond_eight_digits_are_newer(tmp_path):
    store = CheckpointStore(tmp_path, keep=3)
    for step in (20_000_000, 100_000_000):
        store.save(step, write_model(1), {}, {})
    assert store.load().step == 100_000_000


def test_saving_a_step_again_replaces_it(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(5, write_model(1), tensors(1), {"old": True})
    save(store, 5)
    check(store.load(), 5)
    assert names(tmp_path) == ["step_00000005"]


@pytest.mark.parametrize(
    "file", ["training_state.safetensors", "state.json", "model/weights.bin", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, file, damage):
    store = CheckpointStore(tmp_path, keep=2)
    save(store, 1)
    save(store, 2)
    path = tmp_path / "step_00000002" / file
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "flip":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.warns(CheckpointWarning, match=r"step_00000002 is passed over: .*"):
        check(store.load(), 1)
    with pytest.raises(CheckpointError, match="cannot be used"):
        store.load(tmp_path / "step_00000002")
    # Training goes on from 1 and comes by step 2 again.
    save(store, 2)
    check(store.load(), 2)


def test_the_warning_says_why(tmp_path):
    store = CheckpointStore(tmp_path)
    save(store, 1)
    (tmp_path / "step_00000001" / "state.json").write_text("{}")
    with (
        pytest.warns(CheckpointWarning, match=r"state.json has 2 bytes instead of"),
        pytest.raises(CheckpointError, match="none of the 1 checkpoints"),
    ):
        store.load()


def test_a_damaged_newest_one_does_not_cost_the_last_good_one(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)
    (tmp_path / "step_00000009").mkdir()  # a newer one without a manifest
    save(store, 2)
    assert names(tmp_path) == ["step_00000002", "step_00000009"]
    with pytest.warns(CheckpointWarning, match=r"step_00000009.*manifest.json is missing"):
        check(store.load(), 2)


def test_leftovers_of_a_killed_process_are_cleaned(tmp_path):
    store = CheckpointStore(tmp_path)
    save(store, 1)
    for leftover in (".saving_step_00000002", ".deleting_step_00000000"):
        (tmp_path / leftover / "model").mkdir(parents=True)
        (tmp_path / leftover / "model" / "half").write_bytes(b"x")
    fresh = CheckpointStore(tmp_path)
    check(fresh.load(), 1)
    assert len(names(tmp_path)) == 3  # reading removes nothing
    save(fresh, 3)
    assert names(tmp_path) == ["step_00000001", "step_00000003"]


def test_a_kill_between_the_two_renames_of_a_replacement(tmp_path):
    store = CheckpointStore(tmp_path)
    save(store, 1)
    os.replace(tmp_path / "step_00000001", tmp_path / ".replaced_step_00000001")
    fresh = CheckpointStore(tmp_path)
    check(fresh.load(), 1)
    fresh.clean_leftovers()
    assert names(tmp_path) == ["step_00000001"]
    check(fresh.load(), 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_says_so_and_costs_nothing(tmp_path, monkeypatch, number):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)

    def full(descriptor, data):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(CheckpointError) as caught:
            save(store, 2)
    assert os.strerror(number) in str(caught.value)
    assert "bytes are free" in str(caught.value)
    assert "needs about 1,0" in str(caught.value)
    assert names(tmp_path) == ["step_00000001"]
    check(store.load(), 1)
    save(store, 2)
    check(store.load(), 2)


def test_a_full_disk_while_safetensors_writes_the_model(tmp_path):
    store = CheckpointStore(tmp_path)

    def write(folder) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(CheckpointError, match="No space left on device"):
        store.save(1, write, {}, {})
    assert names(tmp_path) == []


def test_an_error_of_the_model_writer_is_passed_on(tmp_path):
    store = CheckpointStore(tmp_path)

    def write(folder) -> None:
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError("of its own")

    with pytest.raises(ZeroDivisionError, match="of its own"):
        store.save(1, write, {}, {})
    assert names(tmp_path) == []


def test_a_failed_delete_is_a_warning(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 1)

    def refuse(path):
        raise PermissionError(errno.EACCES, "not yours", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        with pytest.warns(CheckpointWarning, match="could not be deleted"):
            save(store, 2)
    check(store.load(), 2)
    save(store, 3)  # tries again
    assert names(tmp_path) == ["step_00000003"]


def test_a_state_that_is_no_json_is_refused_before_anything_is_written(tmp_path):
    store = CheckpointStore(tmp_path / "new")
    with pytest.raises(CheckpointError, match="Put tensors into `tensors`"):
        store.save(1, write_model(1), {}, {"x": torch.ones(1)})
    assert not store.folder.exists()
    with pytest.raises(ConfigError, match="keep"):
        CheckpointStore(tmp_path, keep=0)


def test_everything_is_synced_before_the_rename_and_the_parent_after(tmp_path, monkeypatch):
    events, paths = [], {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}

    def opened(path, *arguments, **others):
        descriptor = real["open"](path, *arguments, **others)
        paths[descriptor] = str(path)
        return descriptor

    def synced(descriptor):
        events.append(("fsync", paths[descriptor]))
        real["fsync"](descriptor)

    def replaced(source, target):
        files = {str(path) for path in source.rglob("*")} | {str(source)}
        events.append(("replace", files))
        real["replace"](source, target)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    save(CheckpointStore(tmp_path), 7)
    at = next(index for index, (kind, _) in enumerate(events) if kind == "replace")
    before = {path for kind, path in events[:at] if kind == "fsync"}
    assert events[at][1] <= before
    assert events[at + 1] == ("fsync", str(tmp_path))
    # the manifest is the last file: it vouches for all others
    files = [path for kind, path in events[:at] if kind == "fsync" and os.path.splitext(path)[1]]
    assert files[-1].endswith("manifest.json")


def test_no_pickle_is_read_or_written(tmp_path):
    store = CheckpointStore(tmp_path)
    save(store, 1)
    manifest = json.loads((tmp_path / "step_00000001" / "manifest.json").read_text())
    assert sorted(manifest["files"]) == [
        "model/adapter/config.json",
        "model/weights.bin",
        "state.json",
        "training_state.safetensors",
    ]


def test_random_states_go_through_a_checkpoint(tmp_path):
    def draw() -> list[float]:
        numbers = [random.random(), random.gauss(0, 1), float(np.random.rand()), float(np.random.randn())]
        return [*numbers, float(torch.rand(())), float(torch.randn(()))]

    before = random_state()
    try:
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        draw()  # leaves half a pair of gaussians behind
        found, numbers = random_state()
        CheckpointStore(tmp_path).save(1, write_model(1), found, numbers)
        expected = draw()
        checkpoint = CheckpointStore(tmp_path).load()
        restore_random_state(checkpoint.tensors, checkpoint.state)
        assert draw() == expected
    finally:
        restore_random_state(*before)


@pytest.mark.slow
def test_saving_is_limited_by_the_disk_and_the_hash(tmp_path):
    store = CheckpointStore(tmp_path)
    big = {f"t{i}": torch.randn(4_000_000) for i in range(8)}
    started_at = time.perf_counter()
    store.save(1, write_model(1), big, {})
    seconds = time.perf_counter() - started_at
    print(f"saved {128 / seconds:.0f} MB/s")
    assert seconds < 30
