"""From an upload to a finished delivery without a Prefect server: real notifications, and runs in processes of ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.clips import write_clip
from tests.emulators.s3 import S3Emulator
from tests.flows.clouds import enter
from tests.services.events.event_process import EventProcess, wait_for
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
