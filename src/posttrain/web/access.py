"""Who may come in and from where: decided once, when the server starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

Role = Literal["anyone", "annotator", "reviewer", "admin"]
"""The lowest role that a route asks for; each may do what the ones before it may."""
ROLES: tuple[Role, ...] = get_args(Role)


def may(role: str, *, needs: Role) -> bool:
    """Whether somebody of this role may use a route that needs another."""
    return ROLES.index(needs) <= (ROLES.index(role) if role in ROLES else 0)


@dataclass(frozen=True)
class SignedIn:
    """The person whose session a request carries: `request.state.annotator`."""

    id: int
    name: str
    role: str


@dataclass(frozen=True)
class Access:
    """How people come in.

    `token` opens the page for `annotator` as an admin: for 127.0.0.1 alone, where it stands in the printed address.
    Without it everybody signs in with a name and a password.
    """

    token: str | None = field(default=None, repr=False)
    annotator: str | None = None
    """The name of the person who opens the printed address."""
    port: int = 8042
    """Names the cookies: browsers keep one jar for all ports of an address."""
    hosts: tuple[str, ...] = ()
    """Names that a browser may call this server by, besides its addresses, `localhost` and this machine's name."""
    is_local: bool = True
    """The server listens on this machine alone, so a name other than `localhost` is an attack or a mistake."""
    is_https: bool = False
    """Browsers reach the server through a proxy that speaks https: cookies are kept from plain http."""
    session_length: timedelta = timedelta(hours=24)
    """A session ends this long after it was last used, and `sessions.MAX_AGE` after it began."""

    @classmethod
    def local(cls, *, token: str, annotator: str, port: int = 8042) -> Access:
        """One person on this machine, who opens the printed address."""
        return cls(token=token, annotator=annotator, port=port)

    @classmethod
    def accounts(cls, *, hosts: tuple[str, ...] = (), port: int = 8042, is_https: bool = False) -> Access:
        """People with a name and a password, from anywhere."""
        return cls(hosts=hosts, port=port, is_local=False, is_https=is_https)

    def cookie(self, what: str) -> str:
        """The name of a cookie; with https one that browsers let nobody but this host set."""
        return f"{'__Host-' if self.is_https else ''}posttrain-{what}-{self.port}"
