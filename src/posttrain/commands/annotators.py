"""`posttrain annotators`: the people of a store, from the command line of whoever has the store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from posttrain.commands.rank import this_login_name
from posttrain.config.annotators import (
    AddAnnotatorConfig,
    AnnotatorNameConfig,
    InviteConfig,
    RoleConfig,
    StoreSection,
)
from posttrain.errors import ConfigError
from posttrain.preferences.store.audit import Actor, at_command_line
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.invites import invite
from posttrain.preferences.store.passwords import hash_of_password
from posttrain.preferences.store.people import add_annotator, annotator_named, list_annotators
from posttrain.preferences.store.people_changes import change_role, disable, enable, set_password


def add(config: AddAnnotatorConfig) -> None:
    """Adds a person and prints their invite, or sets the password that a script brings."""
    password = None if config.password_file is None else _read_password(config.password_file)
    if password is not None:
        hash_of_password(password, name=config.name)  # a password that is refused leaves no person behind
    by = _by()
    with open_store(config.store) as store:
        person = add_annotator(store, config.name, config.role, by=by)
        _print(f"added {person.name} ({person.role})")
        if password is None:
            _print_invite(store, config, by)
        else:
            set_password(store, person.name, password, by=by)
            _print("with the given password")


def invite_again(config: InviteConfig) -> None:
    """Prints a new invite; the earlier one ends."""
    with open_store(config.store) as store:
        _print_invite(store, config, _by())


def show(config: StoreSection) -> None:
    """A table of everybody."""
    with open_store(config.store) as store:
        people, now = list_annotators(store), store.now()
    if not people:
        _print(
            "nobody yet: posttrain annotators add NAME --store STORE; on this machine alone, nobody is needed"
        )
        return
    table = Table("name", "role", "state", "added", box=None, pad_edge=False)
    for person in people:
        added = datetime.fromtimestamp(person.created_at, UTC).strftime("%Y-%m-%d")
        table.add_row(escape(person.name), person.role, person.state(now), added)
    Console().print(table, highlight=False)


def disable_annotator(config: AnnotatorNameConfig) -> None:
    """Ends a person's sessions and lets them in no more; their judgements stay."""
    _change(
        config, lambda store, by: disable(store, config.name, by=by), "is let in no more; judgements stay"
    )


def enable_annotator(config: AnnotatorNameConfig) -> None:
    """Lets a disabled person in again."""
    _change(config, lambda store, by: enable(store, config.name, by=by), "is let in again")


def give_role(config: RoleConfig) -> None:
    """Gives a person another role."""
    _change(
        config,
        lambda store, by: change_role(store, config.name, config.role, by=by),
        f"has the role {config.role} now",
    )


def _change(config: AnnotatorNameConfig, change: Callable[[Store, Actor], None], said: str) -> None:
    with open_store(config.store) as store:
        change(store, _by())
        _print(f"{annotator_named(store, config.name).name} {said}")


def _print_invite(store: Store, config: InviteConfig, by: Actor) -> None:
    secret = invite(store, config.name, by=by, length=timedelta(days=config.invite_days))
    _print(
        f"the invite, shown once, to be used once within {config.invite_days:g} days (posttrain rank must be running):"
    )
    print(f"{config.address}/invite/{secret}", flush=True)


def _by() -> Actor:
    return at_command_line(this_login_name())


def _read_password(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"password_file {file} cannot be read as UTF-8 text: {error}") from None
    return text.rstrip("\r\n")


def _print(text: str) -> None:
    Console().print(escape(text), highlight=False, soft_wrap=True)
