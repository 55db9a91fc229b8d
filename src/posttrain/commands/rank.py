"""`posttrain rank`: the page on which people rank, until Ctrl-C."""

from __future__ import annotations

import getpass
import secrets
from datetime import timedelta

from rich.console import Console

from posttrain.config.rank_page import RankPageConfig
from posttrain.errors import ConfigError
from posttrain.preferences.store.audit import Actor, at_command_line, note_alone
from posttrain.preferences.store.database import Store, open_store
from posttrain.preferences.store.guidelines import current_guidelines, publish_guidelines
from posttrain.preferences.store.people import checked_name, person_at_this_machine, somebody_can_sign_in
from posttrain.preferences.store.progress import store_progress
from posttrain.preferences.store.settings import change_queue_settings
from posttrain.preferences.store.suggested_tags import checked_tags, suggest_tags, suggested_tags
from posttrain.runs.metric_names import count_text
from posttrain.web.access import Access
from posttrain.web.app import create_app
from posttrain.web.server import base_url, is_this_machine, listen, serve


def open_rank_page(config: RankPageConfig) -> None:
    """Serves the page; everything that cannot work is said before the port is taken."""
    is_local = is_this_machine(config.host) and config.https_proxy is None
    guidelines = _read_guidelines(config)
    tags = None if config.tags is None else checked_tags(config.tags)
    with open_store(config.store) as store:
        login_name = this_login_name()
        by = at_command_line(login_name)
        if not is_local and not somebody_can_sign_in(store):
            raise ConfigError(_nobody_can_sign_in(config))
        annotator = _person_here(store, config, login_name, by) if is_local else None
        with listen(config.host, config.port) as listening:
            port = listening.getsockname()[1]
            access = Access(
                token=secrets.token_urlsafe(32) if is_local else None,
                annotator=annotator,
                port=port,
                hosts=config.hosts,
                is_local=is_this_machine(config.host),
                is_https=config.https_proxy is not None,
                session_length=timedelta(hours=config.session_hours),
            )
            _take_over(store, config, guidelines, tags, by)
            store.refresh_statistics()
            app = create_app(store, access=access)
            _say(store, config, access)
            serve(app, listening, proxy=config.https_proxy)
    Console().print("stopped; every judgement that was acknowledged is stored", highlight=False)


def this_login_name() -> str:
    """Who runs this, as their system calls them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "annotator"


def _read_guidelines(config: RankPageConfig) -> str | None:
    if config.guidelines is None:
        return None
    try:
        text = config.guidelines.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"guidelines {config.guidelines} cannot be read as UTF-8 text: {error}") from None
    if not text:
        raise ConfigError(f"guidelines {config.guidelines} is empty. Write into it what people are told.")
    return text


def _person_here(store: Store, config: RankPageConfig, login_name: str, by: Actor) -> str:
    wanted = config.annotator
    if wanted is None:
        try:
            wanted = checked_name(login_name)
        except ConfigError:  # some systems have signs in login names that no annotator's name may have
            wanted = "annotator"
    return person_at_this_machine(store, wanted, by=by).name


def _take_over(
    store: Store, config: RankPageConfig, guidelines: str | None, tags: tuple[str, ...] | None, by: Actor
) -> None:
    """Keeps in the store what was set here, and says so in its audit log."""
    changes = {
        "overlap": config.overlap,
        "gold_every": config.gold_every,
        "lease_seconds": None if config.lease_minutes is None else 60 * config.lease_minutes,
    }
    wanted = {name: value for name, value in changes.items() if value is not None}
    if wanted:
        change_queue_settings(store, **wanted)  # type: ignore[arg-type]
        note_alone(store, "settings_changed", by=by, details=wanted)
    if tags is not None and tags != suggested_tags(store):
        suggest_tags(store, tags)
        note_alone(store, "settings_changed", by=by, details={"tags": list(tags)})
    if guidelines is not None:
        before = current_guidelines(store)
        published = publish_guidelines(store, guidelines, str(by.details["command_line_of"]))
        if before is None or before.version != published.version:
            note_alone(store, "guidelines_published", by=by, subject=f"version {published.version}")


def _say(store: Store, config: RankPageConfig, access: Access) -> None:
    console = Console()
    progress = store_progress(store)
    open_now = progress.num_items - progress.num_closed
    console.print(
        f"{store.where}: {count_text(progress.num_items, 'prompt')}, {open_now:,} to be judged, "
        f"{count_text(progress.num_judgements, 'judgement')} so far",
        highlight=False,
        soft_wrap=True,
    )
    if progress.num_items == 0:
        console.print(
            "[yellow]look at:[/yellow] the store is empty; posttrain store import fills it", highlight=False
        )
    if config.https_proxy is not None:
        address = f"https://{config.hosts[0]}/"
        console.print(
            f"for the proxy at {config.https_proxy}: port {access.port} of {config.host}", highlight=False
        )
    else:
        address = base_url(config.host, access.port) + (
            "/" if access.token is None else f"/open?token={access.token}"
        )
    who = "people sign in" if access.token is None else f"you rank as {access.annotator}"
    console.print(f"open this address in a browser ({who}); Ctrl-C stops:", highlight=False, soft_wrap=True)
    # Plain: the address is there to be copied, and other programs read it.
    print(address, flush=True)


def _nobody_can_sign_in(config: RankPageConfig) -> str:
    what = (
        "https_proxy is set"
        if config.https_proxy is not None
        else f"host {config.host} is open to other machines"
    )
    return (
        f"{what}, and nobody could sign in: this store has no annotators. Add one, who gets an invite: "
        f"posttrain annotators add NAME --role admin --store {_without_password(config.store)}; or rank alone on this "
        "machine: --host 127.0.0.1"
    )


def _without_password(store: str) -> str:
    return "STORE" if "://" in store else store
