"""Queues: read, put into the inbox, and only then acknowledged; poison is counted and given up in the end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.services.events.puller import MOST_TRIES, Puller
from deployments.services.events.queues.azure_queue import AzureQueue
from deployments.services.events.queues.base import Message, Queue, QueueUnavailable
from deployments.services.events.queues.pubsub import PubsubQueue
from deployments.services.events.queues.sqs import SqsQueue
from tasks.domain.errors import LedgerUnavailable, ServiceUnavailable
from tests.emulators.azure import QueueEmulator, hide_credentials, running_queue
from tests.emulators.s3 import REGION, S3Emulator
from tests.services.events.conftest import Scene
from tests.services.events.messages import S3_TEST, cloud_event, event_grid, eventbridge, gcs_message, s3
from tests.services.events.notifying import client, new_queue
from tests.services.events.pubsub import FakePubsub


@dataclass
class ScriptedQueue:
    """Gives out what a test put in, again and again until it is acknowledged."""

    bodies: list[bytes]
    via: str = "sqs"
    name: str = "queue"
    down: bool = False
    counts: bool = True
    done: list[str] = field(default_factory=list)
    tries: int = 0

    def receive(self) -> list[Message]:
        if self.down:
            raise QueueUnavailable("SQS does not answer")
        self.tries += 1
        left = [(str(n), body) for n, body in enumerate(self.bodies) if str(n) not in self.done]
        return [Message(n, body, n, tries=self.tries if self.counts else 0) for n, body in left]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.done += [message.id for message in messages]


def body(message: Any) -> bytes:
    return json.dumps(message).encode()


async def pull(scene: Scene, queue: Queue, until: Any, puller: Puller | None = None) -> None:
    """Run a puller until something is so."""
    task = asyncio.create_task((puller or Puller(queue, scene.service.reception, scene.service.watch.check)).run())
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(until):
                assert not task.done() or task.result()
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_acknowledged_when_the_inbox_has_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before: while the ledger is away the messages stay in the queue."""
    queue = ScriptedQueue([body(s3("a.mp4")), body(s3("a.mp4")), body(S3_TEST)])
    puller = Puller(queue, scene.service.reception, scene.service.watch.check)

    def fail(*_: object) -> Any:
        raise LedgerUnavailable("the database is gone")

    monkeypatch.setattr(scene.ledger, "put_uploads", fail)
    await pull(scene, queue, lambda: puller.problem, puller)
    assert ["2"] == queue.done  # the test event needs no inbox
    with pytest.raises(ServiceUnavailable, match="the database is gone"):
        puller.check()
    monkeypatch.undo()
    await pull(scene, queue, lambda: len(queue.done) == 3 and not puller.problem, puller)
    puller.check()
    assert 1 == scene.waiting()


async def test_it_is_not_read_while_the_ledger_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the start nor after the ledger went: each reading brings messages nearer to the dead letters."""
    monkeypatch.setattr("deployments.services.events.puller._BACKOFF_S", 0.05)
    queue = ScriptedQueue([body(s3("a.mp4"))])
    asked = 0
    away = True

    def look() -> None:
        nonlocal asked
        asked += 1
        if away:
            raise LedgerUnavailable("the database is gone")

    def fail(*_: object) -> Any:
        nonlocal away
        away = True
        raise LedgerUnavailable("the database went")

    puller = Puller(queue, scene.service.reception, look)
    await pull(scene, queue, lambda: asked > 3, puller)
    assert (0, "the database is gone") == (queue.tries, puller.problem)
    monkeypatch.setattr(scene.ledger, "put_uploads", fail)
    away = False
    await pull(scene, queue, lambda: asked > 8, puller)
    assert 1 == queue.tries
    monkeypatch.undo()
    away = False
    await pull(scene, queue, lambda: queue.done, puller)
    assert 1 == scene.waiting()


@pytest.mark.parametrize("counts", [True, False], ids=["counted by the queue", "counted by us"])
async def test_poison_is_given_up_in_the_end(scene: Scene, counts: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It does not stop the others; it is counted, and left to the queue's own dead-letter rule for ten times."""
    queue = ScriptedQueue([b"poison MARKED", body({"strange": 1}), body(s3("a.mp4"))], counts=counts)
    await pull(scene, queue, lambda: len(queue.done) == 3)
    assert ["2", "0", "1"] == queue.done
    assert 1 == scene.waiting()
    for code in ("not_json", "shape_unknown"):
        assert MOST_TRIES == scene.counted("reelroute_upload_messages_refused_total", via="sqs", code=code)
    assert "message 0 deleted" in caplog.text
    assert "MARKED" not in caplog.text


async def test_a_queue_that_is_away_is_said_and_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """And read again when it is back."""
    monkeypatch.setattr("deployments.services.events.puller._BACKOFF_S", 0.05)
    queue = ScriptedQueue([body(s3("a.mp4"))], down=True)
    puller = Puller(queue, scene.service.reception, scene.service.watch.check)
    await pull(scene, queue, lambda: puller.problem, puller)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        puller.check()
    queue.down = False
    await pull(scene, queue, lambda: queue.done and not puller.problem, puller)
    puller.check()


async def test_sqs(scene: Scene, s3: S3Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real messages of a real queue: what EventBridge puts there, too."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": s3.url,
    }.items():
        monkeypatch.setenv(name, value)
    url = new_queue(s3, "pulled")
    sqs = client(s3, "sqs")
    for n in range(25):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(eventbridge(f"{n} é.mp4")))
    await pull(scene, SqsQueue(url), lambda: scene.waiting() == 25)

    def is_empty() -> bool:
        numbers = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=numbers)["Attributes"]
        return set(found.values()) == {"0"}

    await pull(scene, SqsQueue(url), is_empty)


def test_a_missing_sqs_queue_is_an_error_we_can_name(s3: S3Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that AWS gives."""
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    with pytest.raises(QueueUnavailable, match=r"NonExistentQueue|QueueDoesNotExist"):
        SqsQueue(f"{s3.url}/000000000000/nowhere").receive()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(QueueUnavailable, match="does not answer"):
        SqsQueue("http://127.0.0.1:9/000000000000/nowhere").receive()


@pytest.fixture
def azure_queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueEmulator]:
    hide_credentials(monkeypatch)
    with running_queue() as emulator:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator.connection_string)
        yield emulator


async def test_azure_queues_in_base64_and_plain(scene: Scene, azure_queues: QueueEmulator) -> None:
    """Either schema, either form; deleted once the inbox has them."""
    queue = azure_queues.new_queue()
    plain = [json.dumps(event) for event in (event_grid("a+ é.mp4"), cloud_event("b%20.mp4"))]
    for text in [*plain, *(base64.b64encode(text.encode()).decode() for text in plain), "poison"]:
        queue.send_message(text)
    url = f"{azure_queues.url}/{queue.queue_name}"
    await pull(scene, AzureQueue(url), lambda: queue.get_queue_properties().approximate_message_count == 1)
    assert 2 == scene.waiting()
    with pytest.raises(QueueUnavailable, match="QueueNotFound"):
        AzureQueue(f"{azure_queues.url}/nowhere").receive()


async def test_pubsub_pull(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """By REST, as Google documents it; a message that is not acknowledged comes again."""
    with FakePubsub() as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
        for n in range(3):
            pubsub.publish(gcs_message(f"{n} +é.mp4"))
        pubsub.publish({"data": base64.b64encode(body(s3("aws.mp4"))).decode()})
        pubsub.publish({"data": "!"})
        await pull(scene, PubsubQueue(pubsub.subscription), lambda: pubsub.left() == 1)
        assert 4 == scene.waiting()
        with pytest.raises(QueueUnavailable, match="refused with 404"):
            PubsubQueue("projects/p/subscriptions/nowhere").receive()
    with pytest.raises(QueueUnavailable, match="does not answer"):
        PubsubQueue("projects/p/subscriptions/nowhere").receive()
