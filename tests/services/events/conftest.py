"""The service in this process: a real ledger, real checks, and runs that are only noted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.exposition import generate_latest

from config.event_settings import EventSettings
from config.settings import Settings
from deployments.services.events.app import create_app
from deployments.services.events.service import Service, build_service
from deployments.services.events.starters import StartFailed
from tasks.ledger.base import Ledger
from tasks.ledger.inbox import Batch
from tests.services.events.messages import ACCOUNT, APPLICATION, AUDIENCE, KEY, TENANT, TOPIC, documents

PIPELINE = """
name: {name}
sources:
  - {{uri: "{uri}", exclude: ["drafts/**"]{more}}}
inference: {{backend: roboflow, model: players/2}}
routes:
  - {{to: results, uri: "{uri}out/{{date}}"}}
  - {{to: video, uri: "s3://elsewhere/annotated"}}
"""


@dataclass
class NotingStarter:
    """Starts nothing, and remembers what it was asked to start.

    Attributes:
        down: Fail instead.
        over: Runs that have ended.
    """

    started: list[tuple[str, Batch]] = field(default_factory=list)
    down: bool = False
    over: set[str] = field(default_factory=set)
    is_busy: bool = False
    patience: timedelta = timedelta(minutes=1)

    async def start(self, reference: str, batch: Batch) -> str:
        if self.down:
            raise StartFailed("the server is down")
        self.started.append((reference, batch))
        return f"run-{batch.id}"

    async def is_over(self, run: str) -> bool | None:
        return run in self.over

    async def check(self) -> str:
        return "the server is down" if self.down else ""

    async def close(self) -> None: ...


@dataclass
class Clock:
    """Now, and as much later as a test says."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Scene:
    """The service, somebody who posts to it, and what it has done."""

    service: Service
    client: httpx.AsyncClient
    starter: NotingStarter
    clock: Clock

    @property
    def ledger(self) -> Ledger:
        return self.service.ledger

    async def post(self, message: Any, *, key: str = KEY, **headers: str) -> httpx.Response:
        """Post as somebody who has the key."""
        given = {"x-reelroute-key": key} if key else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(message, bytes):
            return await self.client.post("/events", content=message, headers=given)
        return await self.client.post("/events", json=message, headers=given)

    def waiting(self) -> int:
        """Uploads in the inbox that nobody has taken."""
        return sum(count for (_, state), count in self.ledger.inbox_counts().items() if state == "waiting")

    def counted(self, name: str, **labels: str) -> float:
        """A counter's value."""
        found = 0.0
        for line in generate_latest(self.service.metrics.registry).decode().splitlines():
            match = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
            if match and all(f'{label}="{value}"' in match[1] for label, value in labels.items()):
                found += float(match[2])
        return found


def event_settings(**more: Any) -> EventSettings:
    """Every sender is set up."""
    known = {
        "REELROUTE_EVENTS_KEY": KEY,
        "REELROUTE_EVENTS_SNS_TOPICS": TOPIC,
        "REELROUTE_EVENTS_PUBSUB_AUDIENCE": AUDIENCE,
        "REELROUTE_EVENTS_PUBSUB_ACCOUNT": ACCOUNT,
        "REELROUTE_EVENTS_AZURE_TENANT": TENANT,
        "REELROUTE_EVENTS_AZURE_AUDIENCE": APPLICATION,
    }
    return EventSettings.model_validate(known | more)


@pytest.fixture
def pipelines(tmp_path: Path) -> str:
    """A pipeline in each cloud, over a bucket named yard."""
    paths = []
    for name, uri, more in (
        ("s3-yard", "s3://yard/", ""),
        ("gs-yard", "gs://yard/", ""),
        ("az-yard", "az://yard/", ", account: yards"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(PIPELINE.format(name=name, uri=uri, more=more))
        paths.append(str(path))
    return ",".join(paths)


@pytest.fixture
async def scene(tmp_path: Path, pipelines: str) -> AsyncIterator[Scene]:
    """The service, running."""
    starter, clock = NotingStarter(), Clock()
    service = build_service(
        Settings.model_validate({"REELROUTE_HOME": tmp_path / "home"}),
        event_settings(REELROUTE_EVENTS_PIPELINES=pipelines, REELROUTE_EVENTS_QUIET="1s"),
        load=documents,
        starter=starter,
        clock=clock,
    )
    app = create_app(service)
    async with service.running():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://events") as client:
            yield Scene(service, client, starter, clock)
