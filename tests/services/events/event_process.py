"""The upload-event service as a process, for tests that kill things and send real notifications."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.emulators.process import free_port
from tests.services.events.messages import (
    ACCOUNT,
    AUDIENCE,
    CERTIFICATE_URL,
    KEY,
    TOPIC,
    documents,
)

ROOT = Path(__file__).parents[3]
_PROGRAM = Path(__file__).with_name("run_service.py")
_PUBLISHED = (CERTIFICATE_URL, "https://www.googleapis.com/oauth2/v1/certs")


class EventProcess:
    """A service with a port of its own, which it keeps when it is started again."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, sns: str = "") -> None:
        self.log = folder / "events.log"
        self._folder = folder
        self._sns = sns
        self._port = free_port()
        # Nobody finds the settings of whoever runs the tests.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("REELROUTE")}
        self._environment = {
            **clean,
            "PYTHONPATH": str(ROOT),
            "REELROUTE_HOME": str(folder / "home"),
            "REELROUTE_EVENTS_KEY": KEY,
            "REELROUTE_EVENTS_SNS_TOPICS": TOPIC,
            "REELROUTE_EVENTS_PUBSUB_AUDIENCE": AUDIENCE,
            "REELROUTE_EVENTS_PUBSUB_ACCOUNT": ACCOUNT,
            "REELROUTE_EVENTS_QUIET": "1s",
            **environment,
        }
        (folder / "documents.json").write_text(json.dumps({url: documents(url).decode() for url in _PUBLISHED}))
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), str(self._folder / "documents.json"), self._sns, str(self._port)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.log.read_text()

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """SIGTERM; it has ten seconds and more."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=60)

    def post(self, message: Any, **headers: str) -> httpx.Response:
        given = {"x-reelroute-key": KEY, **headers}
        return httpx.post(f"{self.url}/events", json=message, headers=given, timeout=30)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30)


def wait_for(look: Callable[[], Any], patience_s: float = 240.0) -> Any:
    """Look again and again until there is something to see."""
    end = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return seen
