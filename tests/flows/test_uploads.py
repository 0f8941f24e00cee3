"""From an upload to a finished delivery: real notifications, a real Prefect server, real runs."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.clips import write_clip
from tests.emulators.azure import ACCOUNT, AzureEmulator, running_queue
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import S3Emulator
from tests.flows.clouds import enter
from tests.flows.conftest import ROOT
from tests.services.events.event_process import EventProcess, wait_for
from tests.services.events.messages import event_grid, gcs_message, google_token, push
from tests.services.events.notifying import new_queue, notify, send_to_api, signing_relay, subscribe

# Generous: each starts several processes, which a busy machine takes its time for.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PIPELINE = """
name: {name}
sources: [{{uri: "{videos}"{keys}}}]
inference: {{backend: local, model: oidv4/1, fps: 5, confidence: 0.3, poll_interval: 1s}}
routes:
  - {{to: results, uri: "{out}", formats: [json]}}
"""


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """A second of video at 25 frames/s."""
    return write_clip(tmp_path / "clip.mp4", frames=25).read_bytes()


def delivered(out: Path) -> set[str]:
    """Names of the videos whose results are there."""
    path = out / "results.json"
    return set(json.loads(path.read_text())) if path.is_file() else set()


class Workshop:
    """A runner that works on the deployment `on-upload`, as `flow.serve` does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "runner.log"
        serving = (
            "from flows.on_upload import on_upload; on_upload.serve(name='on-upload', print_starting_message=False)"
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", serving],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_RUNNER_POLL_FREQUENCY": "1", **environment},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def submitted_at(home: Path) -> dict[str, datetime]:
    """Name -> when its job was taken by the service, of a SQLite ledger."""
    connection = sqlite3.connect(home / "ledger.db")
    rows = connection.execute(
        "SELECT uri, submitted_at FROM jobs JOIN videos ON videos.key = jobs.video_key"
    ).fetchall()
    connection.close()
    return {uri: datetime.fromisoformat(at) for uri, at in rows if at}


@contextmanager
def explained(*logs: Path) -> Iterator[None]:
    """Show what processes said if the block fails."""
    try:
        yield
    except BaseException:
        for log in logs:
            print(log.read_text()[-6000:] if log.exists() else f"no {log}")
        raise


def test_s3_notifies_by_queue_topic_and_bridge(
    tmp_path: Path, request: pytest.FixtureRequest, running_s3: S3Emulator, clip: bytes
) -> None:
    """Real notifications three ways; without a Prefect server the service runs the batch itself."""
    cloud = enter("s3", request, tmp_path)
    bucket = cloud.videos.split("/")[2]
    pipeline = tmp_path / "yard.yaml"
    pipeline.write_text(PIPELINE.format(name="yard", videos=f"s3://{bucket}/", keys="", out=tmp_path / "out"))
    queue = new_queue(running_s3, "uploads")
    environment = {
        **cloud.environment,
        "AWS_ENDPOINT_URL": running_s3.url,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "REELROUTE_EVENTS_PIPELINES": str(pipeline),
        "REELROUTE_EVENTS_SQS_QUEUES": queue,
    }
    with signing_relay() as (relay, targets), explained(tmp_path / "events.log"):
        events = EventProcess(tmp_path, environment, sns=running_s3.url)
        targets.append(f"{events.url}/events")
        try:
            subscribe(running_s3, relay)
            wait_for(lambda: "SubscriptionConfirmation" in events.log.read_text())
            send_to_api(running_s3, bucket, f"{events.url}/events")
            notify(running_s3, bucket, queue)
            keys = ["queue/1+1 = 100%25 é.mp4", "topic/a b.mp4", "bridge/c+d.mp4"]
            landed = datetime.now(UTC)
            for key in keys:
                running_s3.client.put_object(Bucket=bucket, Key=key, Body=clip)
            wait_for(lambda: delivered(tmp_path / "out") == set(keys))
            first = min(submitted_at(tmp_path / "home").values())
            print(f"\nupload to submission, runs in processes of ours: {(first - landed).total_seconds():.1f} s")
        finally:
            events.stop()


def test_azure_and_gcs_through_prefect(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    running_azure: AzureEmulator,
    running_gcs: GcsGate,
    prefect_server: str,
    clip: bytes,
) -> None:
    """A storage queue, a posted Event Grid event and a push with a signed token: three deliveries, two flow runs."""
    clouds = {name: enter(name, request, tmp_path) for name in ("azure", "gcs")}
    pipelines = []
    for name, cloud in clouds.items():
        path = tmp_path / f"{name}.yaml"
        text = PIPELINE.format(name=name, videos=cloud.videos, keys=cloud.keys, out=tmp_path / f"out-{name}")
        path.write_text(text)
        pipelines.append(str(path))
    with running_queue(running_azure.key) as queues:
        queue = queues.new_queue()
        environment = {
            **clouds["gcs"].environment,
            "AZURE_STORAGE_CONNECTION_STRING": f"{running_azure.connection_string()}QueueEndpoint={queues.url};",
            "PREFECT_API_URL": prefect_server,
            "REELROUTE_HOME": str(tmp_path / "home"),
            "REELROUTE_EVENTS_PIPELINES": ",".join(pipelines),
            "REELROUTE_EVENTS_AZURE_QUEUES": f"{queues.url}/{queue.queue_name}",
        }
        workshop = Workshop(tmp_path, environment)
        events = EventProcess(tmp_path, environment)
        try:
            with explained(events.log, workshop.log):
                wait_for(lambda: asyncio.run(has_deployment()))
                container, bucket = (cloud.videos.split("/")[2] for cloud in clouds.values())
                landed = datetime.now(UTC)
                for key in ("queued é.mp4", "posted+1.mp4"):
                    clouds["azure"].store(clouds["azure"].videos).write(key, clip)
                clouds["gcs"].store(clouds["gcs"].videos).write("pushed.mp4", clip)
                told = event_grid("in/queued é.mp4", container=container, account=ACCOUNT)
                queue.send_message(base64.b64encode(json.dumps(told).encode()).decode())
                posted = [event_grid("in/posted+1.mp4", container=container, account=ACCOUNT)]
                assert {"new": 1} == events.post(posted).json()
                pushed = push(gcs_message("in/pushed.mp4", bucket=bucket))
                token = {"authorization": f"Bearer {google_token()}"}
                assert {"new": 1} == events.post(pushed, **token).json()
                wait_for(lambda: delivered(tmp_path / "out-gcs") == {"pushed.mp4"})
                wait_for(lambda: delivered(tmp_path / "out-azure") == {"queued é.mp4", "posted+1.mp4"})
                wait_for(lambda: "reelroute_inbox_oldest_seconds 0.0" in events.get("/metrics").text)
                first = min(submitted_at(tmp_path / "home").values())
                print(f"\nupload to submission, through Prefect: {(first - landed).total_seconds():.1f} s")
                runs = asyncio.run(runs_of(*pipelines))
                assert sorted(pipelines) == sorted(runs)
                landed_events = asyncio.run(landed_of("azure", "gcs"))
                assert {"azure": 2, "gcs": 1} == landed_events
        finally:
            events.stop()
            workshop.stop()


async def has_deployment() -> bool:
    """Whether the runner has registered it."""
    from prefect import get_client

    async with get_client() as client:
        return "on-upload" in [found.name for found in await client.read_deployments()]


async def runs_of(*pipelines: str) -> list[str]:
    """The pipeline of each flow run for one of these."""
    from prefect import get_client

    async with get_client() as client:
        found = await client.read_flow_runs(limit=100)
    return [run.parameters["pipeline"] for run in found if run.parameters.get("pipeline") in pipelines]


async def landed_of(*names: str) -> dict[str, int]:
    """Pipeline -> uploads, of the Prefect events that were emitted."""
    from prefect import get_client
    from prefect.events.filters import EventFilter, EventNameFilter

    wanted = EventFilter(event=EventNameFilter(name=["reelroute.uploads.landed"]))
    async with get_client() as client:
        for _ in range(100):
            answer = await client._client.post(
                "/events/filter", json={"filter": wanted.model_dump(mode="json"), "limit": 50}
            )
            payloads = [event["payload"] for event in answer.json()["events"]]
            found = {payload["pipeline"]: payload["uploads"] for payload in payloads if payload["pipeline"] in names}
            if len(found) == len(names):
                return found
            await asyncio.sleep(0.5)
    return found
