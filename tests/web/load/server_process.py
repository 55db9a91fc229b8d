"""The pages of a store in a process of their own, which can be killed at any moment and started again.

Run as a program it serves: python server_process.py STORE PORT
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_SECONDS_TO_START = 120


class ServerProcess:
    """One server on 127.0.0.1; its port stays the same when it is started again."""

    def __init__(self, where: str) -> None:
        self.where = where
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._start()

    def kill_and_start_again(self) -> None:
        """What `kill -9` does, then a new server for the same store."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._start()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, Path(__file__), self.where, str(self.port)]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/login")
                connection.getresponse().read()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start") from error
                time.sleep(0.05)
            finally:
                connection.close()


def _serve(where: str, port: int) -> None:
    from posttrain.preferences.store.database import open_store
    from posttrain.web.access import Access
    from posttrain.web.app import create_app
    from posttrain.web.server import listen, serve

    with open_store(where) as store:
        serve(create_app(store, access=Access.accounts(port=port)), listen("127.0.0.1", port))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
