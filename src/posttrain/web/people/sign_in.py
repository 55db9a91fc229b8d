"""Coming in and going: the printed address, the sign-in form, the invite, signing out.

Whoever comes in gets a new session; a session that was there before ends, so that nobody's cookie becomes another's.
"""

from __future__ import annotations

import hmac
import re

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from posttrain.errors import ConfigError
from posttrain.preferences.store import audit
from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.invites import accept_invite, invited_name
from posttrain.preferences.store.passwords import MIN_LENGTH, hash_of_password
from posttrain.preferences.store.people import person_at_this_machine, somebody_can_sign_in
from posttrain.preferences.store.sessions import begin_session, end_session
from posttrain.preferences.store.sign_in import TooManyAttempts, begin_attempt, sign_in
from posttrain.web.access import Access
from posttrain.web.bodies import form_body
from posttrain.web.cookies import SESSION, VISIT, cookie_of, drop_cookie, set_cookie
from posttrain.web.csrf import begin_visit
from posttrain.web.identity import actor_of, address_of
from posttrain.web.pages import as_sentence, page
from posttrain.web.refusals import Refusal

_OWN_PATH = re.compile(r"/(?![/\\])[\w./?=&%~+:@,-]*", re.ASCII)


def own_path(target: str) -> str:
    """The path if it leads to a page of ours, otherwise the start: nobody is sent elsewhere after signing in."""
    return target if len(target) <= 500 and _OWN_PATH.fullmatch(target) else "/"


def open_printed_address(request: Request) -> Response:
    """From the address with the token to one without it, with a session of the person at this machine."""
    access: Access = request.app.state.access
    store: Store = request.app.state.store
    given = request.query_params.get("token", "")
    if access.token is None or not hmac.compare_digest(given.encode(), access.token.encode()):
        _count_failure(store, address_of(request))
        raise Refusal(
            403,
            "This address is not valid any more: each start of posttrain rank prints a new one. Copy the whole "
            "address from its terminal.",
            code="wrong_token",
        )
    by = Actor(address=address_of(request), details={"by": "printed address"})
    person = person_at_this_machine(store, access.annotator or "annotator", by=by)

    def begin(connection: Connection) -> str:
        end_session(connection, cookie_of(request, SESSION))
        in_person = Actor(person.annotator_id, by.address, by.details)
        audit.note(connection, store.now(), "signed_in", by=in_person, subject=person.name)
        return begin_session(
            connection, store.now(), person.annotator_id, kind="printed", length=access.session_length
        )

    return _signed_in(request, store.write(begin), "/")


def _count_failure(store: Store, address: str) -> None:
    """Notes a wrong secret, as often as the limit on failures lets it.

    Apart from passwords: any page that somebody looks at can ask for wrong addresses here, and must not keep those
    behind the same router from signing in.
    """
    try:
        begin_attempt(store, "", f"secrets, {address}")
    except TooManyAttempts as limit:
        raise _slow_down(limit) from None
    audit.note_alone(store, "sign_in_failed", by=Actor(address=address), subject="(wrong address)")


def sign_in_page(request: Request) -> Response:
    """GET /login"""
    if request.state.annotator is not None:
        return RedirectResponse(own_path(request.query_params.get("next", "/")), 303)
    return _sign_in_form(request, own_path(request.query_params.get("next", "/")))


def _sign_in_form(
    request: Request, target: str, *, name: str = "", problem: str = "", status: int = 200
) -> Response:
    begin_visit(request)
    access: Access = request.app.state.access
    return page(
        request,
        "login.html",
        status=status,
        next=target,
        name=name,
        problem=problem,
        is_printed=access.token is not None,
        shows_form=access.token is None or somebody_can_sign_in(request.app.state.store),
    )


def sign_in_with_password(request: Request) -> Response:
    """POST /login"""
    form = form_body(request)
    name, target = form.get("name", ""), own_path(form.get("next", "/"))
    access: Access = request.app.state.access
    store: Store = request.app.state.store
    try:
        secret = sign_in(
            store,
            name,
            form.get("password", ""),
            address=address_of(request),
            session_length=access.session_length,
        )
    except TooManyAttempts as limit:
        refusal = _slow_down(limit)
        response = _sign_in_form(request, target, name=name, problem=refusal.message, status=429)
        response.headers.update(refusal.headers)
        return response
    if secret is None:
        problem = "Name and password do not belong together, or this person is not let in any more."
        return _sign_in_form(request, target, name=name, problem=problem, status=403)
    _end_earlier(request)
    return _signed_in(request, secret, target)


def sign_out(request: Request) -> Response:
    """POST /logout"""
    store: Store = request.app.state.store
    secret, by = cookie_of(request, SESSION), actor_of(request)

    def end(connection: Connection) -> None:
        end_session(connection, secret)
        audit.note(connection, store.now(), "signed_out", by=by, subject=request.state.annotator.name)

    store.write(end)
    response = RedirectResponse("/login", 303)
    drop_cookie(request, response, SESSION)
    return response


def invite_page(request: Request) -> Response:
    """GET /invite/<secret>; looking does not use it up, for mail programs look at links too."""
    return _invite_form(request, _invited(request))


def _invite_form(request: Request, name: str, *, problem: str = "", status: int = 200) -> Response:
    begin_visit(request)
    return page(request, "invite.html", status=status, name=name, problem=problem, min_length=MIN_LENGTH)


def set_first_password(request: Request) -> Response:
    """POST /invite/<secret>"""
    access: Access = request.app.state.access
    store: Store = request.app.state.store
    name, form, address = _invited(request), form_body(request), address_of(request)
    if form.get("password", "") != form.get("again", ""):
        return _invite_form(request, name, problem="The two passwords differ. Type it again.", status=400)
    try:
        password_hash = hash_of_password(form.get("password", ""), name=name)
    except ConfigError as error:
        return _invite_form(request, name, problem=as_sentence(error), status=400)

    def accept(connection: Connection) -> str | None:
        person = accept_invite(
            connection, store.now(), request.path_params["secret"], password_hash, address=address
        )
        if person is None:
            return None
        audit.note(connection, store.now(), "signed_in", by=Actor(person, address), subject=name)
        return begin_session(connection, store.now(), person, kind="password", length=access.session_length)

    secret = store.write(accept)
    if secret is None:
        raise _no_such_invite()
    _end_earlier(request)
    return _signed_in(request, secret, "/")


def _invited(request: Request) -> str:
    name = invited_name(request.app.state.store, request.path_params["secret"])
    if name is None:
        _count_failure(request.app.state.store, address_of(request))
        raise _no_such_invite()
    return name


def _no_such_invite() -> Refusal:
    return Refusal(
        404,
        "This invite is not valid: it was used, or it has ended, or the address is not whole. If you have a password, "
        "sign in with it; otherwise ask an admin for a new invite.",
        code="unknown",
    )


def _end_earlier(request: Request) -> None:
    if earlier := cookie_of(request, SESSION):
        request.app.state.store.write(lambda connection: end_session(connection, earlier))


def _signed_in(request: Request, secret: str, target: str) -> Response:
    response = RedirectResponse(target, 303)
    set_cookie(request, response, SESSION, secret)
    drop_cookie(request, response, VISIT)
    return response


def _slow_down(limit: TooManyAttempts) -> Refusal:
    minutes = -(-limit.retry_after // 60)
    wait = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return Refusal(
        429,
        f"Too many failed attempts. Wait {wait} and try again; whoever is signed in is not affected.",
        code="too_many_attempts",
        headers={"Retry-After": str(limit.retry_after)},
    )
