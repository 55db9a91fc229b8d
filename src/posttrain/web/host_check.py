"""Which names a browser may call this server by.

Against DNS rebinding: a page of evil.example whose name is pointed at 127.0.0.1 would be of the same origin as ours.
An address in digits cannot be pointed elsewhere, so those are let through.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from posttrain.web.access import Access
from posttrain.web.refusals import Refusal, answer_refusal

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def host_of(authority: str) -> str | None:
    """The host of `host:port` in lower case without brackets; None where it is malformed."""
    match = _HOST.fullmatch(authority)
    return match[1].strip("[]").rstrip(".").lower() if match else None


def is_of_this_machine(authority: str) -> bool:
    """Whether this Host header is what a machine calls itself: from another one it leads elsewhere."""
    host = host_of(authority)
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_be_called(authority: str, access: Access) -> bool:
    """Whether this Host header is one of ours."""
    host = host_of(authority)
    if host is None:
        return False
    if host == "localhost" or host in {name.lower() for name in access.hosts}:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not access.is_local and host == socket.gethostname().lower()
    return address.is_loopback or not access.is_local


class HostCheck:
    """Refuses requests for other hosts, and websockets, which this server does not speak."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request or refuses it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"host"]
            authority = given[0].decode("latin-1") if len(given) == 1 else ""
            if not may_be_called(authority, self.access):
                message = (
                    f"This server is not called {authority!r}. Open it by its address, or let this name in with "
                    f"--hosts '[\"NAME\"]' of posttrain rank."
                )
                request = Request(scope, receive)
                await answer_refusal(request, Refusal(421, message, code="wrong_host"))(scope, receive, send)
                return
        await self.app(scope, receive, send)
