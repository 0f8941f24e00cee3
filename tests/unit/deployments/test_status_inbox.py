"""`reelroute status` at three in the morning: did my upload arrive, and where is it?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.domain.upload import UploadEvent
from tasks.ledger.base import Ledger
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.flows.conftest import Yard

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    (tmp_path / "videos").mkdir()
    return Yard(tmp_path)


@pytest.fixture
def ledger(yard: Yard) -> Iterator[Ledger]:
    made = open_ledger(sqlite_url(yard.folder / "home" / "ledger.db"))
    yield made
    made.close()


def land(ledger: Ledger, *keys: str, pipeline: str = "yard", at: datetime = NOON) -> None:
    events = [UploadEvent(scheme="s3", container="yard", key=key, version="v1", sequencer="01") for key in keys]
    ledger.put_uploads([(pipeline, event) for event in events], at)


def test_what_waits_and_what_is_at_work(yard: Yard, ledger: Ledger) -> None:
    """By pipeline, with the oldest and the batches; of one pipeline only its own."""
    land(ledger, "a.mp4", "b.mp4")
    batch = ledger.form_batch("yard", "drain", MINUTE, NOON, most=9)
    assert batch is not None
    ledger.start_batch(batch.id, "run-1", MINUTE, NOON)
    land(ledger, "c.mp4", at=NOON + MINUTE)
    land(ledger, "a.mp4", pipeline="other", at=NOON - MINUTE)

    told = yard.reelroute("status", "--json").json["inbox"]
    assert {"yard": {"waiting": 1, "taken": 2}, "other": {"waiting": 1, "taken": 0}} == told["uploads"]
    assert "2026-03-01T11:59:00+00:00" == told["oldest"]
    started = {"id": batch.id, "pipeline": "yard", "state": "started", "uploads": 2, "run": "run-1"}
    assert [started] == told["batches"]

    own = yard.reelroute("status", yard.pipeline(), "--json").json["inbox"]
    assert ({"yard": {"waiting": 1, "taken": 2}}, [started]) == (own["uploads"], own["batches"])
    assert "2026-03-01T12:00:00+00:00" == own["oldest"]

    said = yard.reelroute("status").stdout
    assert "inbox of yard: uploads waiting 1, in batches 2" in said
    assert "since 2026-03-01T11:59:00+00:00" in said
    assert f"batch {batch.id} of 2 (yard): started, run run-1" in said


def test_an_empty_inbox_is_not_talked_of(yard: Yard, ledger: Ledger) -> None:
    """Most people have none; machines always find it."""
    told = yard.reelroute("status", "--json")
    assert {"uploads": {}, "oldest": None, "batches": []} == told.json["inbox"]
    assert "inbox" not in yard.reelroute("status").stdout


def test_the_story_of_an_upload(yard: Yard, ledger: Ledger) -> None:
    """Accepted, in a batch, done; before there is a job, too."""
    uri = "s3://yard/a é+.mp4"
    land(ledger, "a é+.mp4")
    first = yard.reelroute("status", "--video", uri)
    assert "upload for yard, version v1" in first.stdout
    assert "accepted at 2026-03-01T12:00:00+00:00; waits for a run" in first.stdout

    batch = ledger.form_batch("yard", "drain", MINUTE, NOON + MINUTE, most=9)
    assert batch is not None
    assert f"in batch {batch.id} since 2026-03-01T12:01:00+00:00" in yard.reelroute("status", "--video", uri).stdout

    uploads = ledger.claim_batch(batch.id, "run", MINUTE, NOON + MINUTE)
    assert uploads is not None
    ledger.finish_batch(batch.id, "run", {upload.key: "gone" for upload in uploads}, NOON + 2 * MINUTE)
    told = yard.reelroute("status", "--video", uri, "--json").json
    assert (uri, []) == (told["video"], told["jobs"])
    [upload] = told["uploads"]
    assert ("yard", "v1", "done", "gone", batch.id, 1) == tuple(
        upload[name] for name in ("pipeline", "version", "state", "outcome", "batch", "attempts")
    )
    assert "2026-03-01T12:02:00+00:00" == upload["updated_at"]


def test_an_upload_that_never_came(yard: Yard, ledger: Ledger) -> None:
    """It is said, with how to ask."""
    told = yard.reelroute("status", "--video", "s3://yard/nowhere.mp4")
    assert (0, True) == (told.code, "no job and no upload of this video" in told.stdout)


def test_what_is_spent_of_a_day_s_budget(yard: Yard, ledger: Ledger) -> None:
    """With the period's beginning; a budget of a run has nothing to tell."""
    file = Path(yard.pipeline())
    assert yard.reelroute("status", str(file), "--json").json["budget"] is None
    file.write_text(file.read_text() + "\nbudget: {max_videos: 5, per: day}\n")
    told = yard.reelroute("status", str(file), "--json").json["budget"]
    assert ("day", {"spent": 0, "most": 5}) == (told["per"], told["videos"])
    assert told["since"].endswith("T00:00:00+00:00")
    assert "budget per day: videos 0 of 5 submitted since" in yard.reelroute("status", str(file)).stdout
