"""What is not taken: the right status, a counter, a log line without secrets, and nothing started."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import load_pem_x509_certificate

from deployments.services.events.app import LARGEST_BODY, create_app
from deployments.services.events.fetching import Kept
from deployments.services.events.refused import Refused
from tasks.domain.errors import LedgerUnavailable
from tests.services.events.conftest import Scene
from tests.services.events.messages import (
    CERTIFICATE_URL,
    KEY,
    cloud_event,
    entra_token,
    event_grid,
    eventbridge,
    gcs_message,
    google_token,
    push,
    s3,
    sns,
)

OTHER = rsa.generate_private_key(65537, 2048)
HOUR = timedelta(hours=1)
SECRETS = (KEY, "eyJ", "MARKED")


async def refused(scene: Scene, caplog: pytest.LogCaptureFixture, answer: Any, status: int, code: str) -> None:
    """It was told, counted and logged, and nothing else happened."""
    assert (status, code) == (answer.status_code, answer.json()["error"])
    assert 1 == scene.counted("reelroute_upload_messages_refused_total", code=code)
    assert f"refused with {status}: {code}" in caplog.text
    assert [] == [secret for secret in SECRETS if secret in caplog.text or secret in answer.text]
    assert 0 == scene.waiting()
    assert [] == scene.starter.started


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x" * (LARGEST_BODY + 1), 413, "too_large"),
        (b"", 400, "not_json"),
        (b"not JSON", 400, "not_json"),
        (b"\xff\xfe", 400, "not_json"),
        (b"[" * 100_000, 400, "not_json"),
        (b"{}", 422, "shape_unknown"),
        (b'"text"', 422, "shape_unknown"),
        (b'{"detail-type": "Object Created", "source": "aws.s3"}', 422, "shape_unknown"),
        (b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}', 422, "shape_unknown"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_bodies_that_are_no_message(
    scene: Scene, caplog: pytest.LogCaptureFixture, body: bytes, status: int, code: str
) -> None:
    """Too large, no JSON, of no shape that a store sends."""
    await refused(scene, caplog, await scene.post(body), status, code)


async def test_a_large_body_is_not_read_to_its_end(scene: Scene) -> None:
    """Nor does a missing or wrong length let it through."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50 * LARGEST_BODY:
            sent += 65536
            yield b"x" * 65536

    answer = await scene.client.post("/events", content=endless())
    assert 413 == answer.status_code
    assert sent < 2 * LARGEST_BODY


def old(scene: Scene) -> datetime:
    return scene.clock() - 3 * HOUR


def tampered(scene: Scene) -> dict[str, Any]:
    return sns(s3("a.mp4"), at=scene.clock()) | {"Message": json.dumps(s3("b.mp4"))}


SNS: dict[str, tuple[Callable[[Scene], dict[str, Any]], str]] = {
    "tampered": (tampered, "signature_wrong"),
    "by somebody else": (lambda scene: sns(s3("a.mp4"), at=scene.clock(), key=OTHER), "signature_wrong"),
    "no base64": (lambda scene: sns(s3("a.mp4"), at=scene.clock()) | {"Signature": "?"}, "signature_wrong"),
    "no text": (lambda scene: sns(s3("a.mp4"), at=scene.clock()) | {"Signature": 1}, "signature_wrong"),
    "version 3": (lambda scene: sns(s3("a.mp4"), at=scene.clock()) | {"SignatureVersion": "3"}, "signature_wrong"),
    "version moved": (lambda scene: sns(s3("a.mp4"), at=scene.clock()) | {"SignatureVersion": "1"}, "signature_wrong"),
    "too old": (lambda scene: sns(s3("a.mp4"), at=old(scene)), "too_old"),
    "of the future": (lambda scene: sns(s3("a.mp4"), at=scene.clock() + HOUR), "too_old"),
    "without a time": (lambda scene: sns(s3("a.mp4"), at=scene.clock()) | {"Timestamp": "noon"}, "signature_wrong"),
    "another topic": (
        lambda scene: sns(s3("a.mp4"), at=scene.clock(), TopicArn="arn:aws:sns:eu-west-1:999999999999:x"),
        "topic_unknown",
    ),
    "another address": (lambda scene: sns(s3("a.mp4"), at=scene.clock(), SigningCertURL="https://["), "address_wrong"),
}
ADDRESSES = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0f3a.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0f3a.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0f3a.pem",
    "https://evil.example/SimpleNotificationService-0f3a.pem?sns.eu-west-1.amazonaws.com",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f3a.pem",
    "https://sns.eu-west-1.amazonaws.com/?Action=GetTopicAttributes",
    CERTIFICATE_URL + "?x",
]


@pytest.mark.parametrize("url", ADDRESSES)
async def test_certificates_are_amazons(scene: Scene, caplog: pytest.LogCaptureFixture, url: str) -> None:
    """Of the topic's region, by https, and from where certificates are: nobody can put one there."""
    message = sns(s3("a.mp4"), at=scene.clock(), SigningCertURL=url)
    await refused(scene, caplog, await scene.post(message, key=""), 403, "address_wrong")


@pytest.mark.parametrize("what", SNS)
async def test_sns_that_is_not_amazons(scene: Scene, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """403 each, which SNS does not try again."""
    make, code = SNS[what]
    await refused(scene, caplog, await scene.post(make(scene), key=""), 403, code)


async def test_a_handshake_is_answered_at_amazons_only(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Even one that is signed."""
    more = {"SubscribeURL": "https://evil.example/?Action=ConfirmSubscription", "Token": "t"}
    message = sns("hello", at=scene.clock(), kind="SubscriptionConfirmation", **more)
    await refused(scene, caplog, await scene.post(message, key=""), 403, "address_wrong")


KEYED = [s3("a.mp4"), eventbridge("a.mp4"), [event_grid("a.mp4")], [cloud_event("a.mp4")]]


@pytest.mark.parametrize("message", KEYED, ids=["s3", "eventbridge", "event-grid", "cloud-events"])
@pytest.mark.parametrize(
    ("key", "status", "code"), [("", 401, "key_missing"), ("a-wrong-key-MARKED", 403, "key_wrong")]
)
async def test_whoever_lacks_the_key(
    scene: Scene, caplog: pytest.LogCaptureFixture, message: Any, key: str, status: int, code: str
) -> None:
    """401 without one, 403 with another's."""
    await refused(scene, caplog, await scene.post(message, key=key), status, code)


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
GOOGLE = {
    "none": ("", 401, "token_missing"),
    "basic": ("Basic MARKED", 401, "token_missing"),
    "nonsense": ("Bearer MARKED", 401, "token_wrong"),
    "by somebody else": (f"Bearer {google_token(key=OTHER)}", 401, "token_wrong"),
    "ended": (f"Bearer {google_token(exp=YESTERDAY)}", 401, "token_wrong"),
    "another audience": (f"Bearer {google_token(aud='https://other')}", 401, "token_wrong"),
    "another issuer": (f"Bearer {google_token(iss='https://evil.example')}", 401, "token_wrong"),
    "another account": (f"Bearer {google_token(email='x@y.z')}", 403, "account_wrong"),
    "unverified": (f"Bearer {google_token(email_verified=False)}", 403, "account_wrong"),
}


@pytest.mark.parametrize("what", GOOGLE)
async def test_pubsub_that_is_not_googles(scene: Scene, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """The key does not help here."""
    authorization, status, code = GOOGLE[what]
    answer = await scene.post(push(gcs_message("a.mp4")), authorization=authorization)
    await refused(scene, caplog, answer, status, code)


ENTRA = {
    "by somebody else": (entra_token(key=OTHER), 401, "token_wrong"),
    "ended": (entra_token(exp=YESTERDAY), 401, "token_wrong"),
    "another tenant": (entra_token(iss="https://sts.windows.net/other/"), 401, "token_wrong"),
    "another application": (entra_token(appid="somebody"), 403, "account_wrong"),
}


@pytest.mark.parametrize("what", ENTRA)
async def test_event_grid_that_is_not_the_tenants(scene: Scene, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """A wrong token is not made up for by anything."""
    token, status, code = ENTRA[what]
    answer = await scene.post([event_grid("a.mp4")], authorization=f"Bearer {token}")
    await refused(scene, caplog, answer, status, code)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (s3("a.mp4", bucket="strangers"), "place"),
        ([event_grid("a.mp4", account="strangers")], "place"),
        ([cloud_event("a.mp4", container="strangers")], "place"),
        (s3("folder/", size=0), "marker"),
        ([event_grid("folder/", contentLength=0)], "marker"),
        (s3("notes.txt"), "suffix"),
        (s3("drafts/a.mp4"), "exclude"),
        (s3("out/2026-03-01/a.mp4"), "output"),
        ([cloud_event("out/2026-03-01/a.mp4")], "output"),
    ],
)
async def test_what_nobody_wants_is_answered_well(
    scene: Scene, caplog: pytest.LogCaptureFixture, message: Any, reason: str
) -> None:
    """200: it was understood, and trying again would change nothing. It is counted, and nothing starts."""
    caplog.set_level(logging.INFO)
    answer = await scene.post(message)
    assert (200, {f"ignored_{reason}": 1}) == (answer.status_code, answer.json())
    assert 1 == scene.counted("reelroute_upload_events_total", outcome=f"ignored_{reason}")
    assert f"1 ignored_{reason}" in caplog.text
    assert [] == [secret for secret in SECRETS if secret in caplog.text or secret in answer.text]
    assert ("strangers" in caplog.text or "://yard" in caplog.text) == (reason == "place")
    assert 0 == scene.waiting()


@pytest.mark.parametrize(
    ("key", "bucket", "reason"),
    [("a.mp4", "strangers", "place"), ("folder/", "yard", "marker"), ("out/2026-03-01/a.mp4", "yard", "output")],
)
async def test_a_push_that_nobody_wants(
    scene: Scene, caplog: pytest.LogCaptureFixture, key: str, bucket: str, reason: str
) -> None:
    """200 for Pub/Sub too, which would send it again for a week."""
    caplog.set_level(logging.INFO)
    pushed = push(gcs_message(key, bucket=bucket, size=0 if key.endswith("/") else 9))
    answer = await scene.post(pushed, key="", authorization=f"Bearer {google_token()}")
    assert (200, {f"ignored_{reason}": 1}) == (answer.status_code, answer.json())
    assert 1 == scene.counted("reelroute_upload_events_total", via="pubsub", outcome=f"ignored_{reason}")
    assert f"1 ignored_{reason}" in caplog.text
    assert [] == [secret for secret in SECRETS if secret in caplog.text or secret in answer.text]
    assert (0, []) == (scene.waiting(), scene.starter.started)


async def test_a_body_that_does_not_end(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408: a sender that stops half-way holds nothing for ever."""
    monkeypatch.setattr("deployments.services.bodies._BODY_WITHIN_S", 0.1)

    async def stuck() -> AsyncIterator[bytes]:
        yield b'{"Records": ['
        await asyncio.sleep(3600)

    # Over a transport in this process the sender is the same task: the request is made as a server makes it.
    sent: list[Any] = []
    chunks = stuck()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(chunks), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/events", "query_string": b"", "headers": []}
    await create_app(scene.service)(scope, receive, send)
    answer = httpx.Response(sent[0]["status"], content=sent[1]["body"])
    await refused(scene, caplog, answer, 408, "too_slow")


async def test_the_ledgers_absence_is_the_senders_turn(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, and when to try again."""

    def fail(*_: object) -> Any:
        raise LedgerUnavailable("the database is gone")

    monkeypatch.setattr(scene.ledger, "put_uploads", fail)
    answer = await scene.post(s3("a.mp4"))
    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    monkeypatch.undo()
    assert {"new": 1} == (await scene.post(s3("a.mp4"))).json()


async def test_a_certificate_out_of_reach_is_not_a_wrong_signature(scene: Scene) -> None:
    """503: the sender tries again, and the message is not lost."""

    def fail(_: str) -> bytes:
        raise Refused(503, "proof_unavailable", "gone")

    scene.service.gate.sns._certificates = Kept(fail, load_pem_x509_certificate, scene.clock)
    assert 503 == (await scene.post(sns(s3("a.mp4"), at=scene.clock()), key="")).status_code


async def test_documents_are_fetched_once_an_hour(scene: Scene) -> None:
    """And again when they are old, or when a key is unknown, but not for everybody who asks."""
    fetched: list[str] = []

    def load(url: str) -> bytes:
        fetched.append(url)
        return b"x"

    kept = Kept(load, bytes, scene.clock, most=2)
    for url in ("a", "a", "b", "b"):
        kept.get(url)
    scene.clock.ahead = timedelta(minutes=59)
    kept.get("a")
    assert ["a", "b"] == fetched
    kept.get("a", younger_than=timedelta(minutes=1))
    kept.get("a", younger_than=timedelta(minutes=1))
    scene.clock.ahead = timedelta(minutes=61)
    kept.get("a")
    assert ["a", "b", "a"] == fetched
    kept.get("c")
    kept.get("b")
    assert ["a", "b", "a", "c", "b"] == fetched
