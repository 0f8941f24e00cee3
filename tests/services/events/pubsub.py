"""Pub/Sub's pull and acknowledge over REST, as much of it as a subscriber sees."""

from __future__ import annotations

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FakePubsub:
    """One subscription. A message that was given out comes again after a second unless it is acknowledged."""

    subscription = "projects/p/subscriptions/uploads"

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, Any]] = {}
        self._visible_at: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                name, _, verb = self.path.removeprefix("/v1/").partition(":")
                known = name == fake.subscription
                answer = json.dumps(fake.answer(verb, asked) if known else {"error": {"code": 404}}).encode()
                self.send_response(200 if known else 404)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(self, message: dict[str, Any]) -> None:
        with self._lock:
            number = str(next(self._numbers))
            self._messages[number] = {**message, "messageId": number}
            self._visible_at[number] = 0.0

    def left(self) -> int:
        with self._lock:
            return len(self._messages)

    def answer(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if verb == "acknowledge":
                for number in asked["ackIds"]:
                    self._messages.pop(number, None)
                return {}
            now = time.monotonic()
            due = [number for number in self._messages if self._visible_at[number] <= now][: asked["maxMessages"]]
            for number in due:
                self._visible_at[number] = now + 1
            return {"receivedMessages": [{"ackId": number, "message": self._messages[number]} for number in due]}
