"""A budget of a day is one, whoever starts runs: the schedule, an upload, or a person with the form."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from flows.adhoc_ingest import adhoc_ingest
from flows.ingest import ingest
from flows.on_upload import on_upload
from tasks.domain.job import JobState
from tasks.domain.upload import UploadEvent
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tests.clips import write_clip
from tests.flows.in_process import InProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

SPENT = "budget.max_videos 3 per day"


async def test_the_night_an_upload_and_a_form_share_one_day(in_process: InProcess) -> None:
    """The night takes one video, an upload a second one, the form a third; nobody a fourth, and each says why."""
    place = in_process
    place.pipeline("{max_videos: 3, per: day}")
    write_clip(place.videos / "a.mp4", frames=25)
    night = await ingest("yard")

    for name in "bcde":
        write_clip(place.videos / f"{name}.mp4", frames=25)
    with closing(open_ledger(f"sqlite:///{place.home}/ledger.db", create=False)) as ledger:
        landed = await on_upload("yard", reported(ledger, place, "b"))
        form = await adhoc_ingest(pipeline="yard")
        late = await on_upload("yard", reported(ledger, place, "e"))
        next_night = await ingest("yard")

        runs = (night, landed, form, late, next_night)
        assert [1, 1, 1, 0, 0] == [run["submitted"] for run in runs]
        assert [{}, {}, {SPENT: 2}, {SPENT: 1}, {SPENT: 2}] == [run["left_out"] for run in runs]
        assert [0] * 5 == [run["exit_code"] for run in runs]
        assert 3 == len(place.service.jobs)
        assert 2 == sum(job.state is JobState.PLANNED for job in ledger.jobs("yard"))
        # What the day had no room for waits in the inbox, for a run of tomorrow.
        assert {("yard", "waiting"): 1} == ledger.inbox_counts()


def reported(ledger: Ledger, place: InProcess, name: str) -> str:
    """An upload, taken into a batch of its own; the batch's id."""
    now = datetime.now(UTC)
    key = f"{place.videos}/{name}.mp4".lstrip("/")
    ledger.put_uploads([("yard", UploadEvent(scheme="file", container="", key=key, version="v"))], now)
    batch = ledger.form_batch("yard", "drain", timedelta(minutes=2), now, most=100)
    assert batch is not None
    return batch.id
