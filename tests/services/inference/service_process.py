"""Services as processes of their own, for tests that kill things."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

_PROGRAM = Path(__file__).with_name("run_service.py")
MODEL = {"model_id": "oidv4", "model_version": "1", "inference_type": "object-detection"}


class ServiceProcess:
    """A running service and a client that has its key."""

    def __init__(self, log: Path, **settings: Any) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, log.read_text()
        self.client = httpx.Client(base_url=self.url, params={"api_key": settings["api_key"]}, timeout=30)

    def submit(self, input_url: str, **changes: Any) -> str:
        response = self.client.post(
            "/videoinfer/", json={"input_url": input_url, "infer_fps": 5, "models": [MODEL]} | changes
        )
        assert response.status_code == 200, response.text
        job_id: str = response.json()["job_id"]
        return job_id

    def status(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get("/videoinfer/", params={"job_id": job_id}).json()
        return answer

    def end_of(self, job_id: str) -> dict[str, Any]:
        """Wait for the job to end and return its last status."""
        answer: dict[str, Any] = wait_for(lambda: (seen := self.status(job_id))["status"] != 1 and seen)
        return answer

    def results(self, job_id: str) -> dict[str, Any]:
        answer = self.end_of(job_id)
        assert answer["status"] == 0, answer
        results: dict[str, Any] = httpx.get(answer["output_signed_url"]).json()
        return results

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that are alive."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def stop(self) -> None:
        """End it if it still runs, and close what belongs to it."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def wait_for(look: Callable[[], Any], patience_s: float = 120.0) -> Any:
    """Look again and again until there is something to see."""
    end = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return seen
