"""`reelroute serve events` started before what it needs: it waits, says so, loses nothing, and catches up."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tasks.ledger.open import open_ledger
from tasks.ledger.schema import REVISION_TABLE
from tests.emulators import proxy
from tests.emulators.s3 import REGION, S3Emulator
from tests.postgres import PASSWORD, PostgresServer
from tests.services.events.burst import PIPELINE, Burst
from tests.services.events.event_process import wait_for
from tests.services.events.messages import KEY, TOPIC, eventbridge, s3
from tests.services.events.notifying import client, new_queue
from tests.services.events.test_command import ended, start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

AMAZON = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
# Nothing is started here: uploads gather.
GATHER = {"REELROUTE_EVENTS_KEY": KEY, "REELROUTE_EVENTS_QUIET": "1h", "REELROUTE_EVENTS_LONGEST_WAIT": "1h"}


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[str]:
    """The service as people start it, over ``s3://yard/``; its URL. It ends well, and told no secret."""
    (folder / "yard.yaml").write_text(PIPELINE)
    process = start(folder, "./yard.yaml", "--port", "0", **GATHER, **AMAZON, **env)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
    finally:
        process.kill()
    assert 0 == process.returncode, log
    assert [] == [secret for secret in (KEY, PASSWORD) if secret in log]


def checks(url: str) -> tuple[int, dict[str, str]]:
    answer = httpx.get(f"{url}/readyz", timeout=30)
    return answer.status_code, answer.json()["checks"]


def post(url: str, message: Any) -> httpx.Response:
    return httpx.post(f"{url}/events", json=message, headers={"x-reelroute-key": KEY}, timeout=30)


def waiting(sqs: Any, queue: str) -> int:
    """Messages in a queue, also those that somebody has read and not deleted."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, found.values()))


def unread(sqs: Any, queue: str) -> str:
    """Messages that nobody has read."""
    name = "ApproximateNumberOfMessages"
    return str(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty database, in a server that is running again afterwards."""
    with postgres.database() as name:
        yield name
        if postgres.process is None:
            postgres.start()


def test_a_ledger_that_comes_later(
    tmp_path: Path, postgres: PostgresServer, database: str, running_s3: S3Emulator
) -> None:
    """Senders are asked to come again, queues keep their messages; then all of it is in the inbox, once."""
    queue, sqs = new_queue(running_s3, "early"), client(running_s3, "sqs")
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(eventbridge("queued.mp4")))
    postgres.stop()
    more = {"AWS_ENDPOINT_URL": running_s3.url, "REELROUTE_EVENTS_SQS_QUEUES": queue}
    more |= {"REELROUTE_LEDGER_URL": postgres.url(database), "REELROUTE_EVENTS_SNS_TOPICS": TOPIC}
    with serving(tmp_path, **more) as url:
        assert 200 == httpx.get(f"{url}/healthz", timeout=30).status_code
        status, seen = checks(url)
        assert (503, "ledger_unavailable", "ok") == (status, seen["ledger"], seen["runs"])
        refused = post(url, s3("posted.mp4"))
        told = refused.status_code, refused.headers["retry-after"], refused.json()["error"]
        assert (503, "5", "ledger_unavailable") == told
        # What nobody wants needs no ledger, and a forged message is no matter of patience.
        assert 200 == post(url, s3("notes.txt")).status_code
        assert 403 == httpx.post(f"{url}/events", json=s3("a.mp4"), params={"code": "no"}, timeout=30).status_code
        wait_for(lambda: checks(url)[1]["queue 1 early"] != "ok")
        assert "1" == unread(sqs, queue)

        postgres.start()
        wait_for(lambda: checks(url)[0] == 200)
        assert post(url, s3("posted.mp4")).status_code == 200
        wait_for(lambda: waiting(sqs, queue) == 0)
    assert {"posted.mp4": 1, "queued.mp4": 1} == rows(postgres.url(database))


def rows(url: str) -> dict[str, int]:
    """Key of the object -> how often it is in the inbox."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT uri, count(*) FROM uploads GROUP BY uri").fetchall()
    return {uri.removeprefix("s3://yard/"): count for uri, count in found}


def test_stopping_while_the_ledger_is_away(tmp_path: Path, postgres: PostgresServer, database: str) -> None:
    """It ends with 0, also with somebody waiting for an answer."""
    postgres.stop()
    with serving(tmp_path, REELROUTE_LEDGER_URL=postgres.url(database)) as url:
        assert 503 == post(url, s3("posted.mp4")).status_code


def test_what_waiting_does_not_help_ends_it(tmp_path: Path, postgres: PostgresServer, database: str) -> None:
    """Exit code 2 and why: a wrong password, a database that is not there, a ledger of a newer version."""
    open_ledger(postgres.url(database)).close()
    postgres.sql(f"UPDATE {REVISION_TABLE} SET version_num = '0999'", database)
    (tmp_path / "yard.yaml").write_text(PIPELINE)
    for url, why in (
        (postgres.url(database, password="an0ther-MARKED"), "password authentication failed"),
        (postgres.url("nowhere"), '"nowhere" does not exist'),
        (postgres.url(database), "was written by a newer reelroute"),
    ):
        code, said = ended(start(tmp_path, "./yard.yaml", "--port", "0", REELROUTE_LEDGER_URL=url, **GATHER))
        assert (2, "ledger_unusable") == (code, said["error"]["code"])
        assert why in said["error"]["message"]
        assert "MARKED" not in json.dumps(said)


def test_a_queue_and_a_prefect_server_that_come_later(
    tmp_path: Path, running_s3: S3Emulator, prefect_server: str
) -> None:
    """Both are named, uploads that are posted are kept; then the queue is read."""
    queue, sqs = new_queue(running_s3, "late"), client(running_s3, "sqs")
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(eventbridge("queued.mp4")))
    ports = [urlsplit(address).port for address in (running_s3.url, prefect_server)]
    with (
        proxy.serve(proxy.Proxy(ports[0] or 0)) as amazon,
        proxy.serve(proxy.Proxy(ports[1] or 0)) as prefect,
    ):
        for one in (amazon, prefect):
            one.fault = lambda request: proxy.Fault()
        more = {"AWS_ENDPOINT_URL": amazon.url, "PREFECT_API_URL": f"{prefect.url}/api"}
        more |= {"REELROUTE_EVENTS_SQS_QUEUES": f"{amazon.url}/000000000000/late", "PREFECT_CLIENT_MAX_RETRIES": "0"}
        with serving(tmp_path, **more) as url:
            wait_for(lambda: "ok" not in (checks(url)[1]["queue 1 late"], checks(url)[1]["runs"]))
            assert (503, "ok") == (checks(url)[0], checks(url)[1]["ledger"])
            assert {"new": 1} == post(url, s3("posted.mp4")).json()
            for one in (amazon, prefect):
                one.reset()
            wait_for(lambda: checks(url)[0] == 200)
            wait_for(lambda: waiting(sqs, queue) == 0)
            assert 'reelroute_upload_events_total{outcome="new",via="sqs"} 1.0' in httpx.get(f"{url}/metrics").text


async def test_a_burst_that_begins_before_the_ledger(tmp_path: Path, postgres: PostgresServer, database: str) -> None:
    """Senders who come again lose nothing and double nothing."""
    postgres.stop()
    burst = Burst(200, seed=5)
    more = {"REELROUTE_LEDGER_URL": postgres.url(database), "REELROUTE_EVENTS_SNS_TOPICS": TOPIC}
    with serving(tmp_path, **more) as url:
        # Amazon's certificate is out of reach here: what SNS brings is another test's.
        messages = [(kind, message) for kind, message in burst.messages() if "Type" not in message]

        async def come_later() -> None:
            await burst.comes_to(len(messages) // 2)
            await asyncio.to_thread(postgres.start)

        burst.messages = lambda: messages  # type: ignore[method-assign]
        await asyncio.gather(burst.post(url), come_later())
    good = {key for key in burst.keys if int(key[:5]) % 3}
    assert dict.fromkeys(good, 1) == rows(postgres.url(database))
