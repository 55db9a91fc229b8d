"""The server process: a port, taken before anything else is said, and a stop that lets requests end."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from posttrain.errors import ConfigError

_MAX_CONNECTIONS: Final = 500
"""More are answered 503, before they take all of the process's files."""
_SECONDS_TO_END: Final = 10
"""How long requests in progress may take after Ctrl-C."""
_USUAL_HOSTS: Final = "Use 127.0.0.1 for this machine alone, 0.0.0.0 for all networks."


def is_this_machine(host: str) -> bool:
    """Whether nobody but programs on this machine can reach a server that listens at this host.

    ConfigError for a host that is not one of this machine's.
    """
    return all(ipaddress.ip_address(address).is_loopback for _, address in _addresses(host))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. ConfigError that says what to do when it cannot."""
    family, address = _addresses(host)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    # A restart need not wait until the last connections of the one before it are forgotten.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit this. Without it an answer waits some 40 ms until the browser has acknowledged its head:
    # asyncio sets it itself, but only on sockets that name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((address, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise ConfigError(_cannot_listen(host, port, error)) from None
    return listening


def base_url(host: str, port: int) -> str:
    """The address to open, for a server that listens there."""
    shown = socket.gethostname() if host in {"0.0.0.0", "::"} else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def serve(app: Starlette, listening: socket.socket, *, proxy: str | None = None) -> None:
    """Answers requests until Ctrl-C or SIGTERM, and lets those in progress end.

    `proxy` is the address of a reverse proxy whose X-Forwarded-For is believed.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses hold the secrets of invites
            server_header=False,
            lifespan="off",
            ws="none",
            proxy_headers=proxy is not None,
            forwarded_allow_ips=proxy,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
    )
    # The server takes both signals while it runs, ends, and then raises them again: here SIGTERM ends like Ctrl-C.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        listening.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"host {host!r} is not known on this machine. {_USUAL_HOSTS}") from None
    return [(family, str(address[0])) for family, _, _, _, address in found]


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use, perhaps by another posttrain rank. Stop that one, or choose another "
            f"port: --port {port + 1 if port < 65535 else port - 1} (--port 0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for the system's administrator. Choose one above 1023: --port 8042"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. {_USUAL_HOSTS}"
    return f"the server cannot listen at {host}, port {port}: {error.strerror}."
