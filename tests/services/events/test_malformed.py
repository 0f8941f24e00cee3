"""Whatever stands in a field, the answer is a refusal of ours and one line in the log, never a 500."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from deployments.services.events.app import create_app
from deployments.services.events.fetching import fetch
from deployments.services.events.refused import Refused
from tests.services.events.conftest import Scene
from tests.services.events.messages import (
    CERTIFICATE_URL,
    KEY,
    cloud_event,
    event_grid,
    eventbridge,
    gcs_message,
    google_token,
    push,
    s3,
    sns,
)

ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1.5e308,
    "",
    "\x00",
    "a\nb",
    "\ud800",
    "x" * 5000,
    [],
    {},
    [[]],
    {"a": []},
    ["https://"],
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
]
BREAKS = [
    CERTIFICATE_URL.replace("Simple", "\nSimple"),
    CERTIFICATE_URL + "\n",
    "\r\n" + CERTIFICATE_URL,
    CERTIFICATE_URL.replace("https", "ht\ttps"),
    CERTIFICATE_URL.replace("amazonaws", "ama\rzonaws"),
    CERTIFICATE_URL + "\x00",
    CERTIFICATE_URL + "\x7f",
    CERTIFICATE_URL.replace("sns.", "sns\u3002"),
    CERTIFICATE_URL.replace("eu-west", "eu\u2010west"),
    CERTIFICATE_URL.replace(".com/", ".com:port/"),
    CERTIFICATE_URL.replace(".com/", ".com:99999/"),
    "https://[::1",
]


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands are refused here, which would wait for hours."""
    monkeypatch.setattr("deployments.services.refusals.LONGEST_WAIT_S", 0.0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of refusals, or of anything worse; the clients of these tests log, too."""
    return [
        record.getMessage() for record in caplog.records if record.name != "httpx" and record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize("url", BREAKS, ids=ascii)
@pytest.mark.parametrize("name", ["SigningCertURL", "SubscribeURL"])
async def test_addresses_with_breaks_are_not_amazons(
    scene: Scene, caplog: pytest.LogCaptureFixture, name: str, url: str
) -> None:
    """403 for the certificate's and, though it is signed, for the one to confirm at; one line each."""
    kind = "Notification" if name == "SigningCertURL" else "SubscriptionConfirmation"
    given = {"Token": "t", "SubscribeURL": url, "SigningCertURL": CERTIFICATE_URL, name: url}
    answer = await scene.post(sns("hello", at=scene.clock(), kind=kind, **given), key="")
    assert (403, "address_wrong") == (answer.status_code, answer.json()["error"])
    assert 1 == len(lines(caplog))
    assert "address_wrong" in lines(caplog)[0]


@pytest.mark.parametrize("url", [*BREAKS, "https://a b/", "http://[", "ftp://x/", "\ud800"], ids=ascii)
def test_an_address_that_cannot_be_asked_is_a_document_out_of_reach(url: str) -> None:
    """Whatever the client says of it."""
    broken = url if url != CERTIFICATE_URL else ""
    with pytest.raises(Refused) as refused:
        fetch(broken.replace(".amazonaws.com", ".invalid"))
    assert "proof_unavailable" == refused.value.code


FIELDS = ["Type", "TopicArn", "Message", "MessageId", "Subject", "Timestamp", "SignatureVersion", "Signature"]
FIELDS += ["SigningCertURL", "SubscribeURL", "Token"]


@pytest.mark.parametrize("kind", ["Notification", "SubscriptionConfirmation"])
@pytest.mark.parametrize("name", FIELDS)
async def test_no_field_of_sns_breaks_the_service(
    scene: Scene, caplog: pytest.LogCaptureFixture, name: str, kind: str
) -> None:
    """403 or 422, or taken if it changes nothing that is signed."""
    given = {"SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?a", "Token": "t"}
    whole = sns(s3("a.mp4"), at=scene.clock(), kind=kind, **given)
    scene.service.gate.sns._load = lambda url: b""
    for odd in ODD:
        caplog.clear()
        answer = await scene.post(json.dumps(whole | {name: odd}).encode(), key="")
        assert answer.status_code in (200, 403, 422), (odd, answer.text)
        assert len(lines(caplog)) <= 1
        assert not any(record.exc_info for record in caplog.records)


def mutated(message: Any, odd: Any) -> list[Any]:
    """The message with each of its parts, at every depth, replaced in turn."""
    if isinstance(message, dict):
        return [message | {name: new} for name, part in message.items() for new in [odd, *mutated(part, odd)]]
    if isinstance(message, list):
        return [[new] for part in message[:1] for new in [odd, *mutated(part, odd)]]
    return []


@pytest.mark.parametrize(
    "message",
    [s3("a.mp4"), eventbridge("a.mp4"), [event_grid("a.mp4")], [cloud_event("a.mp4")], push(gcs_message("a.mp4"))],
    ids=["s3", "eventbridge", "event-grid", "cloud-events", "pubsub"],
)
async def test_no_part_of_a_message_breaks_the_service(scene: Scene, message: Any) -> None:
    """Every part of every shape, of another type or of text that no store writes."""
    authorization = f"Bearer {google_token()}"
    for odd in ODD:
        for changed in mutated(message, odd):
            body = json.dumps(changed).encode()
            key = "" if "message" in changed else KEY
            answer = await scene.post(body, key=key, **({} if key else {"authorization": authorization}))
            assert answer.status_code in (200, 401, 403, 422), (odd, changed, answer.text)


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("message", [push(gcs_message("a.mp4")), [event_grid("a.mp4")]], ids=["google", "entra"])
async def test_no_token_breaks_the_service(scene: Scene, message: Any) -> None:
    """Heads and claims of any type: 401 each."""
    head = {"alg": "RS256", "typ": "JWT", "kid": "k"}
    for odd in ODD:
        heads = [odd, *({**head, name: odd} for name in head)]
        claims = [odd, *({"iss": "i", "exp": 1, name: odd} for name in ("iss", "aud", "exp", "iat", "email"))]
        tokens = [f"{segment(one)}.{segment(claims[-1])}.e30" for one in heads]
        tokens += [f"{segment(head)}.{segment(one)}.e30" for one in claims]
        for token in [*tokens, "a", "a.b", "a.b.c", ".."]:
            answer = await scene.post(message, key="", authorization=f"Bearer {token}")
            assert (401, "token_wrong") == (answer.status_code, answer.json()["error"]), token


async def test_the_application_raises_nothing_for_headers_that_are_no_text(scene: Scene) -> None:
    """Bytes beyond ASCII in the key, the token and the query."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(s3("a.mp4")).encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    for headers in ([(b"x-reelroute-key", b"\xff\xfe")], [(b"authorization", b"Bearer \xff")], []):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/events",
            "query_string": b"code=%ff\xff",
            "headers": headers,
        }
        await create_app(scene.service)(scope, receive, send)
    assert [403] * 3 == [message["status"] for message in sent if message["type"] == "http.response.start"]
