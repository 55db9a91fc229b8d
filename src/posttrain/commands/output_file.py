"""Where a command writes its result: checked before hours of work, written whole."""

from __future__ import annotations

from pathlib import Path

from posttrain.errors import ConfigError
from posttrain.runs.durable_file import replace_file


def check_output(path: Path | None) -> None:
    """ConfigError when the file exists already or cannot be written there; its folder is made."""
    if path is None:
        return
    if path.exists():
        raise ConfigError(f"{path} exists already. Remove it, or choose another --output.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.unlink()
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}. Choose another --output.") from error


def write_output(path: Path, content: str | bytes) -> None:
    """The file holds the content, whole. ConfigError when the disk does not take it."""
    try:
        replace_file(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be written: {error.strerror}. Make room and try again."
        ) from error
