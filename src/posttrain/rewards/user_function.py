"""A function of the user, in a form that another process can load: a file and a name, or a pickled callable."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.abc
import importlib.util
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from posttrain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadableFunction:
    """What a worker needs to get hold of one function.

    `source` is the file's content when it was first read: an edit during a run changes nothing, not even when a
    worker has to be started again. `pickled` is set for callables instead.
    """

    name: str
    path: str = ""
    source: bytes = b""
    pickled: bytes = b""

    @property
    def fingerprint(self) -> str:
        """A digest of the code, for the run's records."""
        return hashlib.blake2b(self.source or self.pickled, digest_size=8).hexdigest()

    def load(self) -> Callable[..., Any]:
        """The function itself; runs the user's module, so only a worker calls it."""
        if self.pickled:
            function = pickle.loads(self.pickled)
        else:
            sys.path.insert(0, str(Path(self.path).parent))
            module_name = f"posttrain_user_{Path(self.path).stem}"
            loader = _SourceAsRead(self.path, self.source)
            spec = importlib.util.spec_from_loader(module_name, loader, origin=self.path)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            loader.exec_module(module)
            function = getattr(module, self.name)
        if not callable(function):
            raise TypeError(f"{self.name} is not callable but {type(function).__name__}")
        return function  # type: ignore[no-any-return]


class _SourceAsRead(importlib.abc.SourceLoader):
    def __init__(self, path: str, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        return self._source


def from_reference(reference: str, folder: Path | None = None) -> LoadableFunction:
    """The function that `path/to/file.py:name` names; relative paths start at `folder`.

    The file is parsed, not run: ConfigError for a missing file, a syntax error (with its line), or an unknown
    name (with the nearest one).
    """
    path_text, separator, name = reference.rpartition(":")
    if not separator or not path_text or not name.isidentifier():
        raise ConfigError(
            f"a reward function is named as path/to/file.py:function, which {reference!r} is not; "
            "write the file, a colon and the function's name"
        )
    path = ((folder or Path.cwd()) / Path(path_text).expanduser()).resolve()
    if not path.is_file():
        files = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, files, n=1)
        raise ConfigError(
            f"the file {path} of the reward function {reference!r} does not exist"
            + (
                f"; did you mean {near[0]!r}?"
                if near
                else "; check the path, it starts at the current folder"
            )
        )
    source = path.read_bytes()
    try:
        tree = ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path}, line {line}" if line else str(path)
        raise ConfigError(f"{place}: the file of the reward function cannot be parsed: {error}") from error
    defined = _top_level_names(tree)
    if name not in defined and "*" not in defined:
        near = difflib.get_close_matches(name, defined, n=1, cutoff=0.4)
        functions = sorted(
            n for n, node in defined.items() if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        raise ConfigError(
            f"{path} has no function {name!r}"
            + (
                f"; did you mean {near[0]!r}?"
                if near
                else f"; its functions: {', '.join(functions) or 'none'}"
            )
        )
    return LoadableFunction(name=name, path=str(path), source=source)


def parameter_names(loadable: LoadableFunction) -> list[str] | None:
    """The parameters of a function defined in its file, read without running it; None where that cannot be told."""
    if not loadable.source:
        return None
    node = _top_level_names(ast.parse(loadable.source)).get(loadable.name)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
        return None
    return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def from_callable(function: Callable[..., Any]) -> LoadableFunction:
    """A Python callable, by value where it is a lambda or from `__main__`; ConfigError when it cannot be sent."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        return LoadableFunction(name=name, pickled=cloudpickle.dumps(function))
    except Exception as error:
        raise ConfigError(
            f"the reward function {name} cannot be sent to the worker process: {error}. Put it into a file and name "
            "it as path/to/file.py:function, or open what it needs (locks, files, models) inside the function."
        ) from error


def _top_level_names(tree: ast.Module) -> dict[str, ast.AST]:
    names: dict[str, ast.AST] = {}
    for node in ast.walk(tree) if any(isinstance(n, ast.If | ast.Try) for n in tree.body) else tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name.split(".")[0]): node for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names
