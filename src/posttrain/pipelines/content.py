"""What a stage reads from disk, and digests of it: the same bytes are the same input, wherever and whenever written."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from posttrain.config.loading import SettingsText
from posttrain.errors import ConfigError, DataError
from posttrain.pipelines.stages import Key, Stage, dotted, settings_under
from posttrain.preferences.store_location import is_store

_CHUNK_BYTES: Final = 1 << 20
_PATTERN: Final = frozenset("*?[")
_NAME_FILES: Final = ("path", "held_out_path")
_STORES: Final = ("store", "path", "held_out_path")


def digest_of(path: Path) -> str:
    """16 hexadecimal digits of a file's bytes, of a folder's names and bytes, or of all that a pattern matches.

    Of a preference store it is of what people have said in it.
    """
    if is_store(path):  # its bytes change whenever somebody looks at it
        return _digest_of_store(path)
    hashed = hashlib.sha256()
    if path.is_file():
        _add_file(hashed, path)
    else:
        for name, file in _files(path):
            hashed.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            _add_file(hashed, file)
    return hashed.hexdigest()[:16]


def user_inputs(stage: Stage) -> dict[str, Path]:
    """The files and folders on disk that the stage's settings name, by dotted setting; outputs of stages left out.

    These are settings of type Path, functions ("file.py:name"), and texts that are a path: a model's folder, text
    files, patterns. A Hub id is none.
    """
    of_stages = {reference.path for reference in stage.references}
    found: dict[str, Path] = {}
    for key, value in settings_under(stage.config):
        if key == ("output",) or value is None or dotted(key) in stage.kind.fills:
            continue
        path = _as_path(key, value)
        if path is not None and path not in of_stages:
            found[dotted(key)] = path
    return found


def check_user_inputs(stage: Stage, text: SettingsText) -> None:
    """ConfigError, before anything runs, for a file or folder that is not there."""
    for name, path in user_inputs(stage).items():
        if not _exists(path) and name not in stage.kind.waits_for:
            key: Key = ("stages", stage.name, *name.split("."))
            raise ConfigError(
                f"{text.where(key)}: {dotted(key)}: there is nothing at {path}. Check the path."
            )


def digests_of(stage: Stage) -> dict[str, str]:
    """Digest of each input by dotted setting, of users' files and of other stages' outputs; "" where nothing is."""
    paths = user_inputs(stage) | {dotted(reference.key): reference.path for reference in stage.references}
    try:
        found = {name: digest_of(path) if _exists(path) else "" for name, path in sorted(paths.items())}
        return found | {name: _digest_of_store(url) for name, url in _store_urls(stage).items()}
    except OSError as error:
        raise DataError(f"an input of the stage {stage.name} cannot be read: {error}") from error


def _store_urls(stage: Stage) -> dict[str, str]:
    """The servers' stores that the stage's settings name as an input, by dotted setting."""
    return {
        dotted(key): value
        for key, value in settings_under(stage.config)
        if isinstance(value, str)
        and key[-1] in _STORES
        and "://" in value
        and dotted(key) not in stage.kind.fills
    }


def _digest_of_store(where: Path | str) -> str:
    from posttrain.preferences.exporting.fingerprint import fingerprint_of_judgements
    from posttrain.preferences.store.database import open_store

    # A server's database may not be filled yet; a file is there.
    with open_store(where, must_exist="://" not in str(where)) as store:
        return fingerprint_of_judgements(store)


def _as_path(key: Key, value: object) -> Path | None:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or "://" in value:
        return None
    name = next((part for part in reversed(key) if isinstance(part, str)), "")  # lists have numbers behind it
    if name == "function":
        return Path(value.rpartition(":")[0])
    path = Path(value).expanduser()
    # Longer texts are prompts and patterns of rewards, and no system takes them as a path.
    if "\n" in value or len(value) > 1000:
        return None
    if name in _NAME_FILES and _PATTERN & set(value):
        return path
    # Ids of the Hub have one slash at most.
    starts_as_path = value.startswith(("/", "./", "../", "~"))
    is_written_as_path = "{" not in value and (starts_as_path or value.count("/") > 1)
    if name in (*_NAME_FILES, "model", "start") and (is_written_as_path or path.exists()):
        return path
    return path if "/" in value and path.exists() else None


def _exists(path: Path) -> bool:
    return path.exists() or (bool(_PATTERN & set(str(path))) and bool(glob.glob(str(path), recursive=True)))


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder, or that a pattern matches, by a name that does not depend on where that is."""
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            yield file.relative_to(path).as_posix(), file
        return
    for match in sorted(glob.glob(str(path), recursive=True)):
        if Path(match).is_file():
            yield match, Path(match)


def _add_file(hashed: hashlib._Hash, path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
