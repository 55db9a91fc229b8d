"""What `--help` prints, and what is said of a word that is no command: by cyclopts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from posttrain import __version__
from posttrain.cli.command_table import COMMANDS, GROUPS, Command

_CONFIG_FILE = Annotated[Path | None, Parameter(help="TOML file with any of the settings below.")]
_STORE_OR_CONFIG_FILE = Annotated[
    str | None,
    Parameter(
        help="The store: a file, or postgresql://user@host/database. Or a TOML file with any of the settings below."
    ),
]


def help_app(shown: str | None) -> App:
    """All commands by their summaries, and the settings of the one called `shown`: no other's are imported."""
    app = App(
        name="posttrain",
        version=__version__,
        help="Take a language model from pre-training to human feedback and reinforcement learning.",
        help_epilogue="Every setting of a command may stand in a TOML file; --section.name value overrides it.",
        # Settings are read by `load_config`, which takes lists as TOML: [] is the empty one.
        default_parameter=Parameter(negative_iterable=()),
    )
    groups: dict[str, App] = {}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = App(name=group, help=GROUPS[group])
            app.command(groups[group])
        function = _with_settings(command) if name == shown else _nothing()
        function.__doc__ = command.summary
        (groups[group] if group else app).command(function, name=last)
    return app


def _nothing() -> Callable[..., None]:
    def nothing() -> None: ...

    return nothing


def _with_settings(command: Command) -> Callable[..., None]:
    """A function whose parameters are the command's words and settings; it is asked for its help only."""

    def of_config(config_file=None, /, *, config=None): ...  # type: ignore[no-untyped-def]

    def of_data(data_file=None, /, *, config=None): ...  # type: ignore[no-untyped-def]

    def of_store(store=None, /, *, config=None): ...  # type: ignore[no-untyped-def]

    def of_name(name=None, /, *, config=None): ...  # type: ignore[no-untyped-def]

    def of_files(*files, config=None): ...  # type: ignore[no-untyped-def]

    def of_store_and_files(store=None, /, *files, config=None): ...  # type: ignore[no-untyped-def]

    def of_store_and_file(store=None, file=None, /, *, config=None): ...  # type: ignore[no-untyped-def]

    def of_none(*, config=None): ...  # type: ignore[no-untyped-def]

    signatures: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
        "config": (of_config, {"config_file": _CONFIG_FILE}),
        "data": (of_data, {"data_file": Path | None}),
        "store": (of_store, {"store": _STORE_OR_CONFIG_FILE}),
        "name": (of_name, {"name": str | None}),
        "files": (of_files, {"files": str}),
        "store and files": (of_store_and_files, {"store": _STORE_OR_CONFIG_FILE, "files": Path}),
        "store and file": (of_store_and_file, {"store": _STORE_OR_CONFIG_FILE, "file": Path | None}),
        "none": (of_none, {}),
    }
    function, words = signatures[command.words]
    kind: Any = command.kind
    # `name="*"` spreads the settings over the command's options.
    settings = Annotated[kind | None, Parameter(name="*")]
    function.__annotations__ = {**words, "config": settings, "return": None}
    return function
