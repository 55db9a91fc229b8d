"""/annotators: who there is, for admins; adding, inviting, disabling people and giving them roles.

What a form asks for is done and answered with the page itself, not with a redirect: an invite is shown this once, and
its secret stands in no address of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response

from posttrain.errors import ConfigError
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.invites import INVITE_LENGTH, invite
from posttrain.preferences.store.people import AnnotatorRole, add_annotator, annotator_named, list_annotators
from posttrain.preferences.store.people_changes import change_role, disable, enable
from posttrain.web.access import Access
from posttrain.web.bodies import form_body
from posttrain.web.host_check import is_of_this_machine
from posttrain.web.identity import actor_of
from posttrain.web.pages import as_sentence, page
from posttrain.web.refusals import Refusal


def people_page(request: Request) -> Response:
    """GET /annotators"""
    return _page(request)


def add_person(request: Request) -> Response:
    """POST /annotators/add: the person's invite is shown."""
    form = form_body(request)

    def add(store: Store, name: str) -> tuple[str, str]:
        person = add_annotator(store, name, form.get("role", "annotator"), by=actor_of(request))
        secret = invite(store, person.name, by=actor_of(request))
        return f"{person.name} is added.", secret

    return _done(request, add)


def invite_person(request: Request) -> Response:
    """POST /annotators/invite: a new one; the earlier one ends."""

    def renew(store: Store, name: str) -> tuple[str, str]:
        return f"A new invite for {name}; an earlier one has ended.", invite(
            store, name, by=actor_of(request)
        )

    return _done(request, renew)


def give_role(request: Request) -> Response:
    """POST /annotators/role"""
    role = form_body(request).get("role", "")

    def change(store: Store, name: str) -> tuple[str, str]:
        _refuse_oneself(request, name, "change your own role")
        change_role(store, name, role, by=actor_of(request))
        return f"{name} has the role {role} now.", ""

    return _done(request, change)


def disable_person(request: Request) -> Response:
    """POST /annotators/disable"""

    def change(store: Store, name: str) -> tuple[str, str]:
        _refuse_oneself(request, name, "disable yourself")
        disable(store, name, by=actor_of(request))
        return f"{name} is let in no more. What they judged stays.", ""

    return _done(request, change)


def enable_person(request: Request) -> Response:
    """POST /annotators/enable"""

    def change(store: Store, name: str) -> tuple[str, str]:
        enable(store, name, by=actor_of(request))
        return f"{name} is let in again.", ""

    return _done(request, change)


def _done(request: Request, change: Callable[[Store, str], tuple[str, str]]) -> Response:
    """The page after the change, with what it says and the secret of an invite ("" for none), or with the problem."""
    try:
        said, secret = change(request.app.state.store, form_body(request).get("name", ""))
    except ConfigError as error:
        return _page(request, problem=as_sentence(error), status=400)
    return _page(request, said=said, secret=secret)


def _refuse_oneself(request: Request, name: str, what: str) -> None:
    if annotator_named(request.app.state.store, name).annotator_id == request.state.annotator.id:
        raise Refusal(400, f"You cannot {what}: another admin can.", code="invalid")


def _page(
    request: Request, *, said: str = "", secret: str = "", problem: str = "", status: int = 200
) -> Response:
    store: Store = request.app.state.store
    access: Access = request.app.state.access
    scheme = "https" if access.is_https else "http"
    return page(
        request,
        "annotators.html",
        status=status,
        people=list_annotators(store),
        now=store.now(),
        roles=get_args(AnnotatorRole),
        said=said,
        problem=problem,
        # The Host header was checked: it is a name or address by which this server is reached.
        invite_address=f"{scheme}://{request.headers['host']}/invite/{secret}" if secret else "",
        invite_days=INVITE_LENGTH.days,
        host=request.headers["host"],
        is_of_this_machine=is_of_this_machine(request.headers["host"]),
        is_local=access.is_local,
    )
