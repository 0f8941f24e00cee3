"""From an upload to a delivery as it is run for real: `reelroute deploy`, a worker, PostgreSQL; and all four killed."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter

from tasks.domain.job import JobState
from tests.clips import write_clip
from tests.emulators import s3 as s3_emulator
from tests.emulators.azure import ACCOUNT, AzureEmulator, running_queue
from tests.emulators.s3 import S3Emulator
from tests.flows.clouds import Cloud, enter
from tests.flows.orchestrated import Studio, studio
from tests.orchestra import LOGIN
from tests.postgres import PostgresServer
from tests.services.events.event_process import EventProcess, wait_for
from tests.services.events.messages import cloud_event, event_grid, gcs_message, google_token, push, s3
from tests.services.events.notifying import new_queue, notify, send_to_api, signing_relay, subscribe

# Generous: each starts several processes, which a busy machine takes its time for.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PIPELINE = """
name: {name}
sources: [{{uri: "{videos}"{keys}}}]
inference: {{backend: local, model: players-x1/1, fps: 5, poll_interval: 1s, submits_per_second: 1000}}
routes:
  - {{to: results, uri: "{out}", formats: [json]}}
"""


@pytest.fixture(scope="module")
def running_s3() -> Iterator[S3Emulator]:
    """One of our own: its topics, rules and queues are nobody else's."""
    with s3_emulator.running() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of video at 25 frames/s."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=25).read_bytes()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Studio]:
    """A server with a login that has our deployments, and a ledger in PostgreSQL; no worker yet."""
    with postgres.database() as name, studio(tmp_path_factory.mktemp("studio"), postgres.url(name)) as made:
        deployed = made.orchestra.reelroute("deploy", "--json")
        assert 0 == deployed.returncode, deployed.stderr
        yield made


@pytest.fixture
def live(running: Studio) -> Iterator[Studio]:
    """The same, with a service that has forgotten everything; workers end with the test."""
    running.service.forget()
    running.service.polls = 0
    yield running
    for name in list(running.orchestra.workers):
        running.orchestra.kill(name)


def write_pipeline(live: Studio, name: str, cloud: Cloud, videos: str) -> Path:
    """Write a pipeline file where it is looked up by its name; return where its results go."""
    folder = live.orchestra.user
    path, out = folder / "config" / "pipelines" / f"{name}.yaml", folder / f"{name}-out"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PIPELINE.format(name=name, videos=videos, keys=cloud.keys, out=out))
    return out


def delivered(out: Path) -> set[str]:
    """Names of the videos whose results are there."""
    path = out / "results.json"
    return set(json.loads(path.read_text())) if path.is_file() else set()


@contextmanager
def receiving(live: Studio, *pipelines: str, sns: str = "", **environment: str) -> Iterator[EventProcess]:
    """The event service beside the pipelines; what everybody said is shown if the block fails."""
    orchestra = live.orchestra
    # As it is by default.
    environment |= {"REELROUTE_EVENTS_PIPELINES": ",".join(pipelines), "REELROUTE_EVENTS_QUIET": "5s"}
    events = EventProcess(orchestra.user, orchestra.environment(**environment), sns=sns)
    try:
        yield events
    except BaseException:
        print(events.log.read_text()[-6000:], orchestra.logs())
        raise
    finally:
        events.stop()


async def runs_of(live: Studio, *pipelines: str) -> list[FlowRun]:
    """Flow runs of the deployment ``on-upload`` for these pipelines."""

    async def ask(client: PrefectClient) -> list[FlowRun]:
        deployment = await client.read_deployment_by_name("on-upload/on-upload")
        runs = await client.read_flow_runs(limit=200)
        return [run for run in runs if run.deployment_id == deployment.id]

    return [run for run in await live.orchestra.ask(ask) if run.parameters["pipeline"] in pipelines]


def test_every_way_of_telling_leads_to_a_delivery(
    live: Studio, tmp_path: Path, request: pytest.FixtureRequest, running_s3: S3Emulator, clip: bytes
) -> None:
    """S3 by queue, topic and bridge; Azure by queue and by post, both schemas; GCS by a push with a signed token."""
    clouds = {name: enter(name, request, tmp_path) for name in ("s3", "azure", "gcs")}
    azure: AzureEmulator = request.getfixturevalue("running_azure")
    bucket, container, gcs_bucket = (cloud.videos.split("/")[2] for cloud in clouds.values())
    places = {"s3": f"s3://{bucket}/"} | {name: clouds[name].videos for name in ("azure", "gcs")}
    outs = {name: write_pipeline(live, f"{name}-yard", clouds[name], places[name]) for name in clouds}
    credentials = {name: value for cloud in clouds.values() for name, value in cloud.environment.items()}
    live.orchestra.start_worker("clouds", **credentials)
    sqs = new_queue(running_s3, "uploads")
    with running_queue(azure.key) as queues, signing_relay() as (relay, targets):
        queue = queues.new_queue()
        more = credentials | {
            "AWS_ENDPOINT_URL": running_s3.url,
            "AZURE_STORAGE_CONNECTION_STRING": f"{azure.connection_string()}QueueEndpoint={queues.url};",
            "REELROUTE_EVENTS_SQS_QUEUES": sqs,
            "REELROUTE_EVENTS_AZURE_QUEUES": f"{queues.url}/{queue.queue_name}",
        }
        with receiving(live, *(f"{name}-yard" for name in clouds), sns=running_s3.url, **more) as events:
            targets.append(f"{events.url}/events")
            subscribe(running_s3, relay)
            wait_for(lambda: "SubscriptionConfirmation" in events.log.read_text())
            send_to_api(running_s3, bucket, f"{events.url}/events")
            notify(running_s3, bucket, sqs)

            landed = datetime.now(UTC)
            s3_keys = {"queue/1+1 = 100%25 é.mp4", "topic/a b.mp4", "bridge/c+d.mp4"}
            for key in sorted(s3_keys):
                running_s3.client.put_object(Bucket=bucket, Key=key, Body=clip)
            azure_keys = {"queued é.mp4", "posted+1.mp4", "posted as cloud event.mp4"}
            for key in azure_keys:
                clouds["azure"].store(places["azure"]).write(key, clip)
            clouds["gcs"].store(places["gcs"]).write("pushed.mp4", clip)
            facts = {"container": container, "account": ACCOUNT}
            told = event_grid("in/queued é.mp4", **facts)
            queue.send_message(base64.b64encode(json.dumps(told).encode()).decode())
            assert {"new": 1} == events.post([event_grid("in/posted+1.mp4", **facts)]).json()
            assert {"new": 1} == events.post([cloud_event("in/posted as cloud event.mp4", **facts)]).json()
            pushed = push(gcs_message("in/pushed.mp4", bucket=gcs_bucket))
            token = {"authorization": f"Bearer {google_token()}"}
            assert {"new": 1} == events.post(pushed, **token).json()

            wait_for(lambda: delivered(outs["s3"]) == s3_keys)
            wait_for(lambda: delivered(outs["azure"]) == azure_keys)
            wait_for(lambda: delivered(outs["gcs"]) == {"pushed.mp4"})
            wait_for(lambda: "reelroute_inbox_oldest_seconds 0.0" in events.get("/metrics").text)
            for name in ("sqs", "sns", "eventbridge", "azure-queue", "event-grid", "cloud-events", "pubsub"):
                assert f'reelroute_upload_events_total{{outcome="new",via="{name}"}}' in events.get("/metrics").text
    jobs = [job for name in clouds for job in live.jobs(f"{name}-yard")]
    assert [(JobState.SUCCEEDED, 1)] * 7 == [(job.state, job.attempts) for job in jobs]
    assert 7 == live.submissions()
    waited = sorted((job.submitted_at - landed).total_seconds() for job in jobs if job.submitted_at)
    runs = asyncio.run(runs_of(live, *(f"{name}-yard" for name in clouds)))
    ends = [asyncio.run(live.orchestra.ended(run)) for run in runs]
    assert {("reelroute", "COMPLETED")} == {(run.work_pool_name, run.state_type) for run in ends}
    assert {"s3-yard": 3, "azure-yard": 3, "gcs-yard": 1} == asyncio.run(
        landed_of(live, "s3-yard", "azure-yard", "gcs-yard")
    )
    print(f"\nupload to submission by a worker: {waited[0]:.1f} to {waited[-1]:.1f} s; {len(runs)} flow runs")


async def landed_of(live: Studio, *names: str) -> dict[str, int]:
    """Pipeline -> uploads, of the Prefect events that were emitted for each."""
    wanted = EventFilter(event=EventNameFilter(name=["reelroute.uploads.landed"]))
    question = {"filter": wanted.model_dump(mode="json"), "limit": 50}

    async def ask(client: PrefectClient) -> Counter[str]:
        answer = await client._client.post("/events/filter", json=question)
        told = [event["payload"] for event in answer.json()["events"]]
        return Counter({name: sum(one["uploads"] for one in told if one["pipeline"] == name) for name in names})

    found = await live.orchestra.ask(ask)
    for _ in range(100):
        if all(found.values()):
            break
        await asyncio.sleep(0.5)
        found = await live.orchestra.ask(ask)
    return dict(found)


class Sender:
    """Tells of objects, ten a second, as a store does: again and again until it is answered well.

    Attributes:
        answered, refused: Answers that were 200, and others (or none).
    """

    def __init__(self, events: EventProcess) -> None:
        self._events = events
        self.answered = 0
        self.refused = 0

    def tell(self, bucket: str, *keys: str) -> None:
        for number, key in enumerate(keys):
            while not self._is_taken(s3(key, bucket=bucket, version=f"e{key}")):
                self.refused += 1
                sleep(0.2)
            self.answered += 1
            sleep(0.1)
            if number % 10 == 0:  # every tenth twice
                self._is_taken(s3(key, bucket=bucket, version=f"e{key}"))

    def _is_taken(self, message: Any) -> bool:
        with suppress(httpx.TransportError):
            return self._events.post(message).status_code == 200
        return False


def test_receiver_database_worker_and_server_are_killed_in_mid_burst(
    live: Studio, tmp_path: Path, request: pytest.FixtureRequest, postgres: PostgresServer, clip: bytes
) -> None:
    """Three by SIGKILL, the database as in a crash, while uploads land: each is delivered once, each job paid once."""
    cloud = enter("s3", request, tmp_path)
    bucket = cloud.videos.split("/")[2]
    out = write_pipeline(live, "burst", cloud, f"s3://{bucket}/")
    keys = [f"{number:03} é+.mp4" for number in range(80)]
    store: S3Emulator = request.getfixturevalue("running_s3")
    for key in keys:
        store.client.put_object(Bucket=bucket, Key=key, Body=clip)
    live.orchestra.start_worker("first", **cloud.environment)
    live.service.polls = 10
    with receiving(live, "burst", PREFECT_CLIENT_MAX_RETRIES="0", **cloud.environment) as events:
        sender = Sender(events)
        sending = threading.Thread(target=sender.tell, args=(bucket, *keys), daemon=True)
        # Some have to be at the service when the worker dies.
        sender.tell(bucket, *keys[:20])
        wait_for(lambda: [JobState.SUBMITTED] * 20 == [job.state for job in live.jobs("burst")])
        live.orchestra.kill("first")
        sending.start()
        wait_for(lambda: sender.answered >= 35)
        events.kill()
        events.start()
        without_receiver = sender.refused
        wait_for(lambda: sender.answered >= 45)
        postgres.stop(signal.SIGQUIT)
        try:
            wait_for(lambda: events.get("/readyz").status_code == 503)
            wait_for(lambda: sender.refused > without_receiver > 0)
        finally:
            postgres.start()
        wait_for(lambda: sender.answered >= 60)
        live.orchestra.stop_server(signal.SIGKILL)
        assert sender.answered < len(keys)
        refused = sender.refused
        sending.join(120)
        assert not sending.is_alive()
        wait_for(lambda: events.get("/readyz").json()["checks"]["runs"] != "ok")
        live.orchestra.start_server()
        live.orchestra.start_worker("second", **cloud.environment)
        wait_for(lambda: delivered(out) == set(keys), 400)
        wait_for(lambda: "reelroute_inbox_oldest_seconds 0.0" in events.get("/metrics").text)
    jobs = live.jobs("burst")
    assert [(JobState.SUCCEEDED, 1)] * 80 == [(job.state, job.attempts) for job in jobs]
    assert 80 == live.submissions()
    assert refused == sender.refused  # a server that is away is nothing that senders notice
    assert LOGIN not in events.log.read_text()
    print(f"\n80 uploads, all four killed: {len(asyncio.run(runs_of(live, 'burst')))} flow runs")
