"""The command line with a bug in it: ``python -m tests.flows.blundering_process ARGUMENTS``.

Whatever is submitted with "blunder" in its name ends in an error that nobody foresaw, whose text holds
all that must stay secret: the signed URL and the key.
"""

from __future__ import annotations

from typing import Any

from deployments.cli import main
from tasks.inference.roboflow import RoboflowClient


class Blunder(Exception):
    """No error of ours."""


def blunder() -> None:
    """Put the bug in."""
    send = RoboflowClient._send

    async def sending(self: RoboflowClient, client: Any, request: Any, what: str, **kind: Any) -> Any:
        if b"blunder" in request.content:
            raise Blunder(f"{request.method} {request.url} failed with {request.content!r}")
        return await send(self, client, request, what, **kind)

    RoboflowClient._send = sending  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    blunder()
    main()
