"""A burst of uploads as clouds tell it: shuffled, some twice, some broken, some forged; and senders who try again."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.services.events.messages import KEY, eventbridge, s3, sns

PIPELINE = """
name: yard
sources: [{uri: "s3://yard/"}]
inference: {backend: local, model: oidv4/1, fps: 5}
routes: [{to: results, uri: out}]
"""
_AT_ONCE = 64
# Given up by no sender for an hour: SNS, EventBridge, Event Grid and Pub/Sub all try longer.
_WITHIN_S = 900.0


@dataclass
class Burst:
    """What is going to be posted, and what was answered.

    Attributes:
        keys: Objects that landed; each must be in the inbox once.
        forged: How many messages are signed by nobody who may.
        malformed: How many are no message.
        statuses: Of last answers, by kind of message.
        tries: Posts in all.
    """

    number: int
    seed: int = 1
    keys: set[str] = field(default_factory=set)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    tries: int = 0

    def messages(self) -> list[tuple[str, Any]]:
        """(kind, message): 10 % duplicates, 1 % malformed, 1 % forged, in any order."""
        chance = random.Random(self.seed)
        self.keys = {f"{n:05} é+.mp4" for n in range(self.number)}
        good = [("good", self._message(n)) for n in range(self.number)]
        good += [("good", self._message(n)) for n in chance.sample(range(self.number), self.number // 10)]
        few = self.number // 100
        bad = [("malformed", {"Records": [{"eventName": "ObjectCreated:Put"}]}) for _ in range(few)]
        forged: list[tuple[str, Any]] = []
        for n in range(few):
            message = sns(s3(f"forged-{n}.mp4"), at=datetime.now(UTC))
            forged.append(("forged", message | {"Message": message["Message"].replace("forged", "f0rged")}))
        together = [*good, *bad, *forged]
        chance.shuffle(together)
        return together

    def _message(self, n: int) -> Any:
        """A third each by SNS, by EventBridge and by S3's own records."""
        key, version = f"{n:05} é+.mp4", f"e{n}"
        if n % 3 == 0:
            return sns(s3(key, version=version), at=datetime.now(UTC))
        return eventbridge(key, version=version) if n % 3 == 1 else s3(key, version=version)

    async def post(self, url: str) -> None:
        """Post everything, 64 at a time; what is not answered, or with 503, is tried again, as all senders do."""
        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with httpx.AsyncClient(timeout=15, limits=limits) as client:
            queue = iter(self.messages())

            async def work() -> None:
                for kind, message in queue:
                    await self._send(client, url, kind, message)

            async with asyncio.timeout(_WITHIN_S):
                await asyncio.gather(*(work() for _ in range(_AT_ONCE)))

    async def comes_to(self, tries: int) -> None:
        """Wait until so many posts were made."""
        while self.tries < tries:  # noqa: ASYNC110 (a counter, not an event)
            await asyncio.sleep(0.01)

    async def _send(self, client: httpx.AsyncClient, url: str, kind: str, message: Any) -> None:
        while True:
            self.tries += 1
            try:
                answer = await client.post(f"{url}/events", json=message, headers={"x-reelroute-key": KEY})
            except httpx.TransportError:
                answer = httpx.Response(503)
            if answer.status_code < 500:
                self.statuses.setdefault(kind, Counter())[answer.status_code] += 1
                return
            await asyncio.sleep(1)


def inbox_of(home: Path) -> Counter[str]:
    """Key of the object -> rows, of a service's SQLite ledger."""
    connection = sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)
    rows = connection.execute("SELECT uri FROM uploads").fetchall()
    connection.close()
    return Counter(uri.removeprefix("s3://yard/") for (uri,) in rows)


def is_started(home: Path) -> bool:
    """Whether every upload of a service's SQLite ledger is in a batch whose run was made."""
    connection = sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)
    (waiting,) = connection.execute("SELECT count(*) FROM uploads WHERE state = 'waiting'").fetchone()
    (formed,) = connection.execute("SELECT count(*) FROM batches WHERE state = 'formed'").fetchone()
    connection.close()
    return (0, 0) == (waiting, formed)
