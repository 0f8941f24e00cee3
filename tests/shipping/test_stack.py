"""What `docker compose up` starts, started without containers, does its work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clips import write_clip
from tests.postgres import PostgresServer
from tests.services.test_metrics import samples
from tests.shipping.stack import PATIENCE_S, SECRETS, Stack, running_stack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    write_clip_into(folder / "videos")
    with running_stack(folder, postgres) as stack:
        yield stack


def write_clip_into(videos: Path) -> None:
    videos.mkdir()
    for name in ("gate.mp4", "hall.mp4"):
        write_clip(videos / name, frames=25)


def prefect(stack: Stack) -> httpx.Client:
    user, password = SECRETS["PREFECT_AUTH_STRING"].split(":")
    return httpx.Client(base_url=f"{stack.url('server')}/api", auth=(user, password), timeout=60)


def test_a_form_leads_to_deliveries(stack: Stack) -> None:
    """Prefect's server hands the run to the worker, the inference service runs the model, the ledger knows."""
    with prefect(stack) as api:
        deployment = api.get("/deployments/name/adhoc-ingest/adhoc-ingest").raise_for_status().json()
        started = api.post(
            f"/deployments/{deployment['id']}/create_flow_run", json={"parameters": {"pipeline": "yard"}}
        )
        run = ended(api, started.raise_for_status().json()["id"])
    metrics = httpx.get(
        f"{stack.url('events')}/metrics", headers={"Authorization": f"Bearer {SECRETS['REELROUTE_METRICS_KEY']}"}
    )
    seen = samples(metrics.text)
    out = stack.folder / "state" / "worker" / "out"

    assert ("COMPLETED", "Completed") == (run["state_type"], run["state_name"]), stack.log("worker")[-4000:]
    assert 2 == seen["reelroute_jobs", "succeeded"]
    assert 2 == seen["reelroute_deliveries", "results", "delivered"]
    assert {"gate.mp4", "hall.mp4"} == {path.name for path in (out / "annotated").rglob("*.mp4")}


def ended(api: httpx.Client, run_id: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while True:
        run: dict[str, Any] = api.get(f"/flow_runs/{run_id}").raise_for_status().json()
        if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return run
        assert time.monotonic() < until, run["state_name"]
        time.sleep(1)


def test_nobody_gets_in_without_a_key(stack: Stack) -> None:
    """Not at the server, not at the services; whether they are well, everybody may know."""
    server, inference, events = (stack.url(name) for name in ("server", "inference", "events"))
    refused = [
        httpx.post(f"{server}/api/flow_runs/filter", json={}),
        httpx.get(f"{inference}/metrics"),
        httpx.post(f"{inference}/videoinfer/", json={}),
        httpx.get(f"{events}/metrics"),
        httpx.post(f"{events}/events", json={"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
    ]
    ready = [httpx.get(f"{url}/readyz") for url in (inference, events)]

    assert [401, 401, 401, 401] == [answer.status_code for answer in refused[:4]]
    assert refused[4].status_code in (401, 403)
    assert [200, 200] == [answer.status_code for answer in ready], [answer.text for answer in ready]


def test_no_log_holds_a_secret(stack: Stack) -> None:
    """Of any service, after all of this."""
    for name in stack.processes:
        for secret in SECRETS.values():
            assert secret not in stack.log(name), name


def test_everything_stops_when_it_is_told_to(stack: Stack) -> None:
    """By SIGTERM, with nothing left to be killed; last, because nothing runs afterwards."""
    ended = stack.down()

    assert {"server", "worker", "inference", "events"} == set(ended)
    assert -9 not in ended.values()
