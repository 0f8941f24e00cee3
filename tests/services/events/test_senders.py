"""Every cloud's message, as its sender proves it, is in the inbox before it is answered."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.services.events.conftest import Scene
from tests.services.events.messages import (
    S3_TEST,
    cloud_event,
    entra_token,
    event_grid,
    eventbridge,
    gcs_message,
    gcs_object,
    google_token,
    push,
    s3,
    sns,
)

ODD = "in put/a b+c%20d é.mp4"


@pytest.mark.parametrize("version", ["1", "2"])
async def test_sns_is_believed_by_its_signature(scene: Scene, version: str) -> None:
    """Both versions; no key is needed."""
    answer = await scene.post(sns(s3(ODD), at=scene.clock(), version=version), key="")
    assert (200, {"new": 1}) == (answer.status_code, answer.json())
    assert 1 == scene.waiting()


@pytest.mark.parametrize(
    "message",
    [
        s3("a.mp4"),
        eventbridge("a.mp4"),
        event_grid("a.mp4"),
        [event_grid("a.mp4")],
        cloud_event("a.mp4"),
        [cloud_event("a.mp4")],
    ],
    ids=["s3", "eventbridge", "event-grid", "event-grid-list", "cloud-event", "cloud-event-list"],
)
async def test_the_key_is_proof(scene: Scene, message: Any) -> None:
    """In a header; as part of the address it is, too."""
    assert {"new": 1} == (await scene.post(message)).json()
    answer = await scene.client.post("/events", json=message, params={"code": "a-key-that-is-MARKED-5ec7e7"})
    assert (200, {"duplicate": 1}) == (answer.status_code, answer.json())


@pytest.mark.parametrize("message", [push(gcs_message("a.mp4")), gcs_object("a.mp4")], ids=["wrapped", "unwrapped"])
async def test_pubsub_is_believed_by_its_token(scene: Scene, message: Any) -> None:
    """Google's, for our audience and account."""
    answer = await scene.post(message, key="", authorization=f"Bearer {google_token()}")
    assert (200, {"new": 1}) == (answer.status_code, answer.json())


async def test_event_grid_may_come_with_a_token(scene: Scene) -> None:
    """Of the tenant, instead of the key."""
    answer = await scene.post([event_grid("a.mp4")], key="", authorization=f"Bearer {entra_token()}")
    assert {"new": 1} == answer.json()


async def test_event_grid_is_told_its_code(scene: Scene) -> None:
    """200 and the code: with 202 the subscription would not come to be."""
    kind = "Microsoft.EventGrid.SubscriptionValidationEvent"
    asked = [{"eventType": kind, "data": {"validationCode": "c-1"}, "topic": "t", "subject": ""}]
    answer = await scene.post(asked, aeg_event_type="SubscriptionValidation")
    assert (200, {"validationResponse": "c-1"}) == (answer.status_code, answer.json())
    assert 401 == (await scene.post(asked, key="")).status_code


async def test_cloud_events_are_let_in(scene: Scene) -> None:
    """OPTIONS names who may send; only with the key."""
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    refused = await scene.client.options("/events", headers=asked)
    answer = await scene.client.options("/events", headers=asked, params={"code": "a-key-that-is-MARKED-5ec7e7"})
    assert (401, 200) == (refused.status_code, answer.status_code)
    assert "eventgrid.azure.net" == answer.headers["webhook-allowed-origin"]


async def test_the_test_event_is_answered(scene: Scene) -> None:
    """S3 sends it once, and would not be set up without an answer."""
    answer = await scene.post(S3_TEST)
    assert (200, {"ignored_test": 1}) == (answer.status_code, answer.json())


async def test_a_burst_becomes_one_run(scene: Scene) -> None:
    """Once it is quiet, and for the pipeline that was meant."""
    await asyncio.gather(*(scene.post(s3(f"{n}.mp4", version=f"e{n}")) for n in range(50)))
    for _ in range(100):
        if scene.starter.started:
            break
        await asyncio.sleep(0.1)
    [(reference, batch)] = scene.starter.started
    assert reference.endswith("s3-yard.yaml")
    assert ("s3-yard", 50) == (batch.pipeline, batch.size)


async def test_the_example_in_the_readme(scene: Scene) -> None:
    """What people paste first is taken."""
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    [body] = re.findall(r"-H 'x-reelroute-key: [^']*' -d '(\{.*?\})'\n", text, re.DOTALL)
    assert {"new": 1} == (await scene.post(body.encode())).json()
    [asked] = re.findall(r"reelroute status --video '(s3://[^']*)'", text)
    assert ["waiting"] == [one.state for one in scene.ledger.uploads_of(asked)]
