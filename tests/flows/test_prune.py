"""Pruning after real runs, by the flow of the deployment: afterwards everything goes on as before."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from deployments.cli.status import read
from flows.ingest import ingest
from flows.prune import prune
from flows.replay import replay
from tasks import prune as pruning
from tasks.domain.errors import InputInvalid
from tasks.ledger.open import open_ledger
from tests.clips import write_clip
from tests.flows.in_process import InProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

DAYS = timedelta(days=100)


class Later(datetime):
    """A hundred days from now."""

    @classmethod
    def now(cls, tz: Any = None) -> Later:
        """The time that pruning goes by."""
        return super().now(tz) + DAYS


async def ran(flow: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
    """The summary of a flow run, well or degraded."""
    ended = await flow(*arguments, **more)
    summary = ended.data if isinstance(ended, State) else ended
    assert isinstance(summary, dict)
    return summary


def delivered(place: InProcess) -> dict[str, bytes]:
    """What the routes show: the results' files, and their bytes."""
    return {path.name: path.read_bytes() for path in (place.out / "results").rglob("*.json.gz")}


async def test_after_a_prune_runs_pay_nothing_and_replays_work(
    in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nights, the second with a new version; then the hundredth day."""
    place = in_process
    write_clip(place.videos / "a.mp4", frames=25)
    write_clip(place.videos / "b.mp4", frames=25)
    old, stamp = (place.videos / "a.mp4").read_bytes(), (place.videos / "a.mp4").stat().st_mtime_ns
    await ran(ingest, "yard")
    write_clip(place.videos / "a.mp4", frames=25, size=(192, 128))
    await ran(ingest, "yard")
    assert 3 == len(place.service.jobs)
    shown = delivered(place)

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "datetime", Later)
        looked = await prune(dry_run=True)
        removed = await prune()
        with pytest.raises(InputInvalid, match="is not an age of a day or more"):
            await prune(older_than="soon")
    assert (1, 1, 4) == (looked["results"], removed["results"], removed["reports"])
    assert looked["history"] == removed["history"] > 0
    assert 2 == len(list((place.home / "results").rglob("*.json.gz")))

    again = await ran(ingest, "yard")
    assert (2, 0, 0, 0) == tuple(again[name] for name in ("skipped", "submitted", "failed", "exit_code"))
    told = read_status(place)
    assert (2, 1, []) == (told["jobs"]["succeeded"], told["replaced"], told["failures"])
    for path in (place.out / "results").rglob("*.json.gz"):
        path.unlink()
    replayed = await ran(replay, "yard", route="results")
    assert (2, 0) == (replayed["delivered"]["results"], replayed["submitted"])
    assert shown == delivered(place)
    assert 3 == len(place.service.jobs)

    (place.videos / "a.mp4").write_bytes(old)
    os.utime(place.videos / "a.mp4", ns=(stamp, stamp))
    back = await ran(ingest, "yard")
    assert (["result_pruned"], 0) == ([one["code"] for one in back["failures"]], back["submitted"])
    assert 1 == back["exit_code"]
    repaired = await ran(replay, "yard", failed=True, pay=True)
    assert (0, 1) == (repaired["exit_code"], repaired["delivered"]["results"])
    # The service still has the job: it is asked, and not paid.
    assert 3 == len(place.service.jobs)


def read_status(place: InProcess) -> dict[str, Any]:
    """As `status` tells it."""
    with closing(open_ledger(f"sqlite:///{place.home}/ledger.db", create=False)) as ledger:
        return read(ledger, "yard")
