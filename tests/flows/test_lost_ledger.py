"""A ledger that is gone, and results that are not: every command takes them over, and pays nothing again."""

from __future__ import annotations

from contextlib import closing

import pytest

from flows.adhoc_ingest import adhoc_ingest
from flows.collect import collect
from flows.ingest import ingest
from tasks.domain.job import JobState
from tasks.ledger.open import open_ledger
from tests.clips import write_clip
from tests.flows.in_process import InProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def lose_the_ledger(place: InProcess) -> None:
    for file in place.home.glob("ledger.db*"):
        file.unlink()


async def test_plan_and_run_agree_on_what_is_taken_over(in_process: InProcess) -> None:
    """Two of three videos were inferred; the plan says so, the run does it, and both tell of the new ledger."""
    place = in_process
    for name in "ab":
        write_clip(place.videos / f"{name}.mp4", frames=25)
    await ingest("yard")
    write_clip(place.videos / "c.mp4", frames=25)
    lose_the_ledger(place)

    looked = await adhoc_ingest(pipeline="yard", dry_run=True)
    ran = await ingest("yard")

    assert (2, 1) == (looked["reused"], looked["estimate"]["videos"])
    assert (2, 1, 1, 0) == tuple(ran[name] for name in ("reused", "submitted", "succeeded", "failed"))
    assert {"results": 3} == ran["delivered"]
    for warnings in (looked["warnings"], ran["warnings"]):
        assert 1 == sum("the ledger is new" in warning for warning in warnings)
    assert 3 == len(place.service.jobs)


async def test_a_run_that_does_not_wait_leaves_them_to_be_delivered(in_process: InProcess) -> None:
    """They are taken over at once; `collect` of the pipeline brings them to the routes."""
    place = in_process
    write_clip(place.videos / "a.mp4", frames=25)
    await ingest("yard")
    lose_the_ledger(place)

    ran = await ingest("yard", wait=False)
    assert (1, 0, 1) == tuple(ran[name] for name in ("reused", "submitted", "undelivered"))
    collected = await collect("yard")
    assert {"results": 1} == collected["delivered"]
    assert 1 == len(place.service.jobs)
    with closing(open_ledger(f"sqlite:///{place.home}/ledger.db", create=False)) as ledger:
        assert [JobState.SUCCEEDED] == [job.state for job in ledger.jobs("yard")]
