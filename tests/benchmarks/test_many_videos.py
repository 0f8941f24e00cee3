"""What orchestration costs per video, how that grows, and what a second worker brings. PostgreSQL under everything.

REELROUTE_BENCH_VIDEOS=100,1000,10000 says how many; jobs are trivial, so that all of the cost is ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic

import psutil
import pytest

from tasks.domain.job import JobState
from tests.flows.orchestrated import Studio, studio
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SIZES = [int(size) for size in os.environ.get("REELROUTE_BENCH_VIDEOS", "100,1000").split(",")]
AT_ONCE = 200


@contextmanager
def deployed(folder: Path, postgres: PostgresServer, workers: int, **settings: str) -> Iterator[Studio]:
    """A server and so many workers, fresh."""
    with postgres.database() as ledger, postgres.database() as server:
        database = postgres.url(server).replace("postgresql://", "postgresql+asyncpg://")
        with studio(folder, postgres.url(ledger), database) as made:
            made.write_settings(**settings)
            made.pipeline("first", 1)
            assert 0 == made.orchestra.reelroute("deploy").returncode
            for number in range(workers):
                made.orchestra.start_worker(f"worker-{number}")
            yield made


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process, of those it has waited for, and of those that run."""
    times = process.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    running = (child.cpu_times() for child in process.children(recursive=True))
    return used + sum(child.user + child.system for child in running)


async def measure(made: Studio, name: str, videos: int) -> tuple[float, float, float]:
    """Run a pipeline over so many videos; returns seconds, and CPU seconds of the runs and of the server."""
    made.pipeline(name, videos, poll="1s", at_once=AT_ONCE)
    orchestra = made.orchestra
    assert orchestra.server is not None
    workers = [psutil.Process(worker.pid) for worker in orchestra.workers.values()]
    server = psutil.Process(orchestra.server.pid)
    before = sum(map(cpu_s, workers)), cpu_s(server), monotonic()
    ended = await orchestra.ended(await orchestra.start_run("adhoc-ingest/adhoc-ingest", pipeline=name), 3600)
    after = sum(map(cpu_s, workers)), cpu_s(server), monotonic()
    assert "COMPLETED" == ended.state_type, orchestra.logs()
    jobs = made.jobs(name)
    assert [(JobState.SUCCEEDED, 1)] * videos == [(job.state, job.attempts) for job in jobs]
    assert videos == len(list((orchestra.user / f"{name}-out").glob("*.json.gz")))
    runs, servers, seconds = (now - then for now, then in zip(after, before, strict=True))
    return seconds, runs, servers


@pytest.mark.parametrize("detail", ["video", "batch"])
async def test_cost_per_video_does_not_grow(detail: str, tmp_path: Path, postgres: PostgresServer) -> None:
    """Ten times as many videos cost no more each, from any size on: what begins cheap must not grow later."""
    costs = {}
    with deployed(tmp_path, postgres, 1, REELROUTE_DETAIL=detail, REELROUTE_SHARD_ABOVE="1000000") as made:
        for size in SIZES:
            made.service.forget()
            seconds, runs, server = await measure(made, f"of-{size}", size)
            costs[size] = (runs + server) / size
            print(
                f"\n{detail}: {size} videos in {seconds:.0f} s; per video {1000 * runs / size:.0f} ms CPU of the run, "
                f"{1000 * server / size:.0f} ms of the server"
            )
    for fewer, more in pairwise(SIZES):
        print(f"{detail}: one of {more} videos costs {costs[more] / costs[fewer]:.2f} of what one of {fewer} does")
        # A run's start is shared by more; among 1,000 it is little already, and noise is seen.
        assert costs[more] <= 1.3 * costs[fewer]


async def test_two_workers_share_the_work_of_one(tmp_path: Path, postgres: PostgresServer) -> None:
    """Each video once; the second worker saves time. Both share this machine's cores with all servers."""
    took = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        # A worker runs one thing at a time here, so that one worker is one process.
        above = "200" if workers == 2 else "1000000"
        settings = {"REELROUTE_SHARD_ABOVE": above, "REELROUTE_SHARD_SIZE": "100", "REELROUTE_DETAIL": "batch"}
        with deployed(folder, postgres, workers, **settings) as made:
            took[workers], runs, server = await measure(made, "shared", 2000)
            assert 2000 == made.submissions()
            print(
                f"\n{workers} workers: 2000 videos in {took[workers]:.0f} s, {2000 / took[workers]:.1f} a second; "
                f"{runs:.0f} s CPU of runs, {server:.0f} of the server"
            )
    print(f"two workers against one: {took[1] / took[2]:.2f}")
