"""People who rank as fast as they can, over HTTP, and note down what the server acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from posttrain.preferences.store.audit import Actor
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.people import add_annotator
from posttrain.preferences.store.sessions import begin_session
from posttrain.web.csrf import csrf_token_of

_PATIENCE_SECONDS = 300.0


@dataclass
class Acknowledged:
    """Submission id -> what the server said of it; and how long requests took that came through at once."""

    judgements: dict[str, int] = field(default_factory=dict)
    submit_seconds: list[float] = field(default_factory=list)
    next_seconds: list[float] = field(default_factory=list)
    num_repeated: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, submission_id: str, answer: dict[str, Any]) -> None:
        with self.lock:
            assert submission_id not in self.judgements
            self.judgements[submission_id] = answer["judgement_id"]
            self.num_repeated += not answer["is_new"]


def sessions_of_new_people(store: Store, names: list[str]) -> list[str]:
    """A session each for new annotators, as signing in would begin it."""
    secrets = []
    for name in names:
        person = add_annotator(store, name, "annotator", by=Actor())
        with store.writing() as connection:
            number, length = person.annotator_id, timedelta(hours=1)
            secrets.append(begin_session(connection, store.now(), number, kind="password", length=length))
    return secrets


class SimulatedAnnotator(threading.Thread):
    """Asks for items and ranks them at random until there is none, and repeats what was not answered.

    With `asks_apart` the next item is a request of its own, so that both can be timed.
    """

    def __init__(
        self,
        port: int,
        secret: str,
        seed: int,
        acknowledged: Acknowledged,
        *,
        most: int | None = None,
        asks_apart: bool = False,
    ) -> None:
        super().__init__(daemon=True)
        self.failure: BaseException | None = None
        self._port = port
        self._secret = secret
        self._random = random.Random(seed)
        self._acknowledged = acknowledged
        self._most = most
        self._asks_apart = asks_apart
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
        finally:
            self._hang_up()

    def _work(self) -> None:
        num_judged = 0
        item = self._next()
        while item is not None and (self._most is None or num_judged < self._most):
            item = self._judge(item)
            num_judged += 1
            if self._asks_apart:
                item = self._next()

    def _next(self) -> dict[str, Any] | None:
        answer = self._ask("GET", "/api/next", None, self._acknowledged.next_seconds)
        found: dict[str, Any] | None = answer["item"]
        return found

    def _judge(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """Submits a random ranking with ties; the next item, which comes with the answer as it does for the page."""
        ranks = [self._random.randrange(len(item["cards"])) for _ in item["cards"]]
        dense = {rank: place for place, rank in enumerate(sorted(set(ranks)))}
        body: dict[str, Any] = {
            "submission_id": str(uuid.UUID(int=self._random.getrandbits(128))),
            "kind": "ranking",
            "ranks": [dense[rank] for rank in ranks],
            "seconds": 1.5,
        }
        if not self._asks_apart:
            body["besides"] = []
        path = f"/api/items/{item['id']}/judgement"
        answer = self._ask("POST", path, body, self._acknowledged.submit_seconds)
        self._acknowledged.note(body["submission_id"], answer)
        following: dict[str, Any] | None = answer.get("next")
        return following

    def _ask(self, method: str, path: str, body: Any, seconds: list[float]) -> Any:
        """The server's answer; the same request again for as long as none comes."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            start = time.perf_counter()
            try:
                answer = self._ask_once(method, path, body)
            except (OSError, http.client.HTTPException):
                self._hang_up()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            seconds.append(time.perf_counter() - start)
            return answer

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask_once(self, method: str, path: str, body: Any) -> Any:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {
            "Cookie": f"posttrain-session-{self._port}={self._secret}",
            "X-CSRF-Token": csrf_token_of(self._secret),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status == 503:
            raise OSError("the store was busy")
        assert response.status == 200, (response.status, content[:500])
        return json.loads(content)
