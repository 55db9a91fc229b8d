"""Checkpoints that are whole or not there: after a crash at any moment, loading gives the old or the new one.

    checkpoints/step_00000012/
        model/                       what `write_model` wrote: a folder that from_pretrained opens
        training_state.safetensors   masters, moments, random states
        state.json                   counters and everything else that is not a tensor
        manifest.json                size and sha256 of every file above; written last

Saving writes all of it into a hidden folder beside the others, syncs every file and the folder, renames it,
and syncs the parent. A hidden folder is never a checkpoint. Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from posttrain.errors import CheckpointError, ConfigError
from posttrain.training.tensor_file import CHUNK_BYTES, read_tensor_file, tensor_file_chunks, write_chunks

FORMAT = 1
MANIFEST = "manifest.json"
TENSORS = "training_state.safetensors"
STATE = "state.json"
SAVING, REPLACED, DELETING = ".saving_", ".replaced_", ".deleting_"
STEP_FOLDER = re.compile(r"step_(\d{8,})")


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over, or an old one could not be deleted."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step: training state in memory, the model as a folder."""

    step: int
    folder: Path
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def tensors_of(self, owner: str) -> dict[str, Tensor]:
        """The tensors that were saved as `owner/name`, by name."""
        prefix = f"{owner}/"
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    @property
    def model_folder(self) -> Path:
        """The folder that `write_model` filled."""
        return self.folder / "model"


class CheckpointStore:
    """Saves, finds and loads the checkpoints in one folder; keeps the newest `keep` complete ones.

    One process writes; any number may read. Reading never changes anything on disk.

    Example:
        store = CheckpointStore(run / "checkpoints", keep=2)
        store.save(12, policy.save, tensors, {"steps_taken": 12})
        checkpoint = store.load()          # None in a fresh folder
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        if keep < 1:
            raise ConfigError(f"keep must be at least 1, got {keep}: the last good one is never deleted")
        self.folder = Path(folder)
        self.keep = keep
        self._is_clean = False

    def save(
        self,
        step: int,
        write_model: Callable[[Path], object],
        tensors: Mapping[str, Tensor],
        state: Mapping[str, Any],
    ) -> Path:
        """The folder of the new checkpoint, on disk for good when this returns.

        `write_model(folder)` writes the model's files into an existing empty folder. `state` is JSON-able.
        Older checkpoints are deleted only after that; a failed delete is a warning. CheckpointError when it
        cannot be written (disk full, I/O error); then nothing is left of it and the old ones are untouched.
        """
        text = _as_json(state)
        target = self.folder / f"step_{step:08d}"
        aside = self.folder / f"{SAVING}{target.name}"
        try:
            _make_folder(self.folder)
            if not self._is_clean:
                self.clean_leftovers()
            self._is_clean = False  # until this save has ended well
            os.mkdir(aside)
            os.mkdir(aside / "model")
            write_model(aside / "model")
            self._finish(aside, step, tensors, text)
            self._put_in_place(aside, target)
            self._is_clean = True
        except Exception as error:
            needed = _tree_bytes(aside) + sum(t.numel() * t.element_size() for t in tensors.values())
            with contextlib.suppress(OSError):
                _remove_tree(aside)
            if _is_disk_error(error):
                raise CheckpointError(self._explanation(target, error, needed)) from error
            raise
        self._delete_old()
        return target

    def load(self, folder: Path | None = None) -> Checkpoint | None:
        """The newest checkpoint whose every byte is as it was written; None when nothing was ever saved.

        A damaged one is passed over with a warning that says why. CheckpointError when there are checkpoints
        but none is whole, or when `folder` names one that is not.
        """
        if folder is not None:
            damage = damage_of(folder, check_hashes=True)
            if damage:
                raise CheckpointError(f"checkpoint {folder} cannot be used: {damage}")
            return _read(folder)
        for candidate in self._complete():
            damage = damage_of(candidate, check_hashes=True)
            if damage is None:
                return _read(candidate)
            _warn_damaged(candidate, damage)
        found = self._step_folders()
        if found:
            raise CheckpointError(
                f"none of the {len(found)} checkpoints in {self.folder} is whole (the warnings say why each "
                "is not): restore one from a backup, or start again in another folder"
            )
        return None

    def clean_leftovers(self) -> None:
        """What a killed process left is gone: half-written and half-deleted folders; a replaced one is back.

        Called by the first `save`. Call it at the start of a run to have the disk space before.
        """
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                target = self.folder / path.name.removeprefix(REPLACED)
                if path.name.startswith(REPLACED) and not target.exists():
                    os.replace(path, target)  # killed between the two renames of _put_in_place
                elif path.name.startswith((SAVING, DELETING, REPLACED)):
                    _remove_tree(path)
        self._is_clean = True

    def _finish(self, aside: Path, step: int, tensors: Mapping[str, Tensor], text: bytes) -> None:
        """Writes the training state beside the model, syncs everything, and the manifest last."""
        files = {
            f"model/{name}": _hash_and_sync(aside / "model" / name) for name in _files_under(aside / "model")
        }
        files[TENSORS] = _write_file(aside / TENSORS, tensor_file_chunks(tensors))
        files[STATE] = _write_file(aside / STATE, iter([text]))
        manifest = {"format": FORMAT, "step": step, "files": files}
        _write_file(aside / MANIFEST, iter([json.dumps(manifest, indent=1, sort_keys=True).encode()]))
        for folder, _, _ in os.walk(aside):
            _sync_folder(Path(folder))

    def _put_in_place(self, aside: Path, target: Path) -> None:
        replaced = self.folder / f"{REPLACED}{target.name}"
        if target.exists():
            os.replace(target, replaced)
        try:
            os.replace(aside, target)
        except OSError:
            if replaced.exists():
                os.replace(replaced, target)
            raise
        _sync_folder(self.folder)
        with contextlib.suppress(OSError):
            _remove_tree(replaced)

    def _delete_old(self) -> None:
        """Deletes what is older than the newest `keep` complete checkpoints."""
        try:
            complete = list(self._complete(quiet=True))[: self.keep]
            oldest_kept = _step_of(complete[-1]) if len(complete) == self.keep else -1
            for folder in self._step_folders():
                if _step_of(folder) < oldest_kept:
                    # Renamed first: a half-deleted folder must not look like a checkpoint.
                    hidden = self.folder / f"{DELETING}{folder.name}"
                    os.replace(folder, hidden)
                    _remove_tree(hidden)
        except OSError as error:
            warnings.warn(
                f"an old checkpoint in {self.folder} could not be deleted ({error}); training goes on",
                CheckpointWarning,
                stacklevel=3,
            )
            self._is_clean = False

    def _step_folders(self) -> list[Path]:
        """Folders named like checkpoints, the newest first: by number, not by the order of letters."""
        if not self.folder.is_dir():
            return []
        names = {path.name for path in self.folder.iterdir()}
        # A replaced one counts where a kill between the two renames of _put_in_place left no other.
        names -= {f"{REPLACED}{name}" for name in names}
        found = [self.folder / name for name in names if STEP_FOLDER.fullmatch(name.removeprefix(REPLACED))]
        return sorted(found, key=_step_of, reverse=True)

    def _complete(self, *, quiet: bool = False) -> Iterator[Path]:
        for folder in self._step_folders():
            damage = damage_of(folder, check_hashes=False)
            if damage is None:
                yield folder
            elif not quiet:
                _warn_damaged(folder, damage)

    def _explanation(self, target: Path, error: Exception, needed: int) -> str:
        free = "an unknown number of"
        with contextlib.suppress(OSError):
            status = os.statvfs(self.folder if self.folder.exists() else self.folder.parent)
            free = f"{status.f_bavail * status.f_frsize:,}"
        return (
            f"checkpoint {target.name} could not be written to {self.folder}: {error}. It needs about "
            f"{needed:,} bytes and {free} bytes are free. No half-written checkpoint is left and those "
            "before it are as they were. Make room (or lower checkpoint.keep), then resume."
        )


def replace_folder(target: Path, write: Callable[[Path], object]) -> None:
    """`target` holds what `write` put into an empty folder, and it is on disk; what was there before is gone.

    CheckpointError when it cannot be written; then the folder from before is still there.
    """
    aside, replaced = (target.with_name(f"{mark}{target.name}") for mark in (SAVING, REPLACED))
    try:
        _make_folder(target.parent)
        _remove_tree(aside)
        os.mkdir(aside)
        write(aside)
        for name in _files_under(aside):
            _sync_file(aside / name)
        for folder, _, _ in os.walk(aside):
            _sync_folder(Path(folder))
        _remove_tree(replaced)
        if target.exists():
            os.replace(target, replaced)
        os.replace(aside, target)
        _sync_folder(target.parent)
        _remove_tree(replaced)
    except Exception as error:
        if replaced.exists() and not target.exists():
            os.replace(replaced, target)
        with contextlib.suppress(OSError):
            _remove_tree(aside)
        if _is_disk_error(error):
            raise CheckpointError(
                f"{target} could not be written: {error}. The last checkpoint is as it was: make room and start again."
            ) from error
        raise


def damage_of(folder: Path, *, check_hashes: bool) -> str | None:
    """What is wrong with a checkpoint folder, or None when it is whole.

    The manifest must be there and every file it lists must have its size, and its sha256 if asked.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["format"] != FORMAT:
            return f"its format is {manifest['format']}, this version reads {FORMAT}"
        for name, expected in files.items():
            path = folder / name
            size = path.stat().st_size
            if size != expected["bytes"]:
                return f"{name} has {size} bytes instead of {expected['bytes']}"
            if check_hashes and _sha256(path) != expected["sha256"]:
                return f"{name} does not have the contents that were written (its sha256 differs)"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"it cannot be read: {error}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} is not readable: {error!r}"
    return None


def _read(folder: Path) -> Checkpoint:
    state = json.loads((folder / STATE).read_bytes())
    return Checkpoint(_step_of(folder), folder, read_tensor_file(folder / TENSORS), state)


def _step_of(folder: Path) -> int:
    return int(folder.name.rpartition("_")[2])


def _warn_damaged(folder: Path, damage: str) -> None:
    warnings.warn(f"checkpoint {folder} is passed over: {damage}", CheckpointWarning, stacklevel=4)


def _as_json(state: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(state, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the state is not JSON: {error}. Put tensors into `tensors` and keep numbers, text, lists and "
            "dicts in `state`"
        ) from error


def _is_disk_error(error: BaseException) -> bool:
    # safetensors reports I/O errors of its Rust side as text
    return isinstance(error, OSError) or "os error" in str(error)


def _files_under(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        os.makedirs(folder, exist_ok=True)
        _sync_folder(folder.parent)


def _write_file(path: Path, chunks: Iterator[bytes | memoryview]) -> dict[str, Any]:
    """Writes and syncs a new file; its size and sha256, computed on the way."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:

        def write(piece: bytes | memoryview) -> int:
            nonlocal size
            written = os.write(descriptor, piece)
            digest.update(piece[:written])
            size += written
            return written

        write_chunks(chunks, write)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _hash_and_sync(path: Path) -> dict[str, Any]:
    """Syncs a file that somebody else wrote; its size and sha256."""
    found = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    _sync_file(path)
    return found


def _sync_file(path: Path) -> None:
    # Opened for writing: Windows syncs nothing else.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """The names in the folder are on disk, where the system can promise it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)


def _tree_bytes(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return 0


def _remove_tree(folder: Path) -> None:
    """Removes a folder and all in it; nothing when it is not there."""
    if not folder.is_dir():
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(parent, name))
        for name in folders:
            os.rmdir(os.path.join(parent, name))
    os.rmdir(folder)
