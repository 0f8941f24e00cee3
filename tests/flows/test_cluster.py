"""Shards of a large run on real clusters of this machine: each video once, one report, and errors in words."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import distributed
import psutil
import pytest
from dask.system import CPU_COUNT
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import TaskRunSort

from config.settings import Settings
from flows import cluster
from flows.cluster import check_extra
from flows.helper import place_independent
from tasks.domain.errors import InputInvalid
from tasks.domain.job import JobState
from tests.flows.conftest import Finished, Yard
from tests.flows.scripted import ScriptedYard, until
from tests.rig import results
from tests.scripted_service import MARK, ScriptedService

pytestmark = pytest.mark.timeout(600)
VIDEOS = 12


@pytest.fixture
def scripted(yard: Yard) -> Iterator[ScriptedYard]:
    """A yard of videos whose service counts what it is given."""
    with ScriptedService() as service:
        service.results = json.dumps(results(key="players-x1")).encode()
        made = ScriptedYard(yard, service)
        first = yard.clip("00.mp4")
        for number in range(1, VIDEOS):
            (yard.videos / f"{number:02}.mp4").write_bytes(first.read_bytes())
        yard.environment |= {"REELROUTE_SHARD_ABOVE": "4", "REELROUTE_SHARD_SIZE": "3"}
        yield made


def run(scripted: ScriptedYard, kind: str, **more: str) -> Finished:
    scripted.yard.environment |= {"REELROUTE_TASK_RUNNER": kind, **more}
    return scripted.yard.reelroute("run", "yard", "--json")


def work_of_the_cluster() -> bool:
    """Whether videos were done within tasks that a cluster ran; the server records them a moment later."""

    async def look() -> bool:
        async with get_client() as client:
            for _ in range(100):
                runs = await client.read_task_runs(sort=TaskRunSort.END_TIME_DESC, limit=200)
                shards = {run.id for run in runs if run.task_key.startswith("work_on_shard-")}
                parents = {
                    one.id for run in runs for one in run.task_inputs.get("__parents__", ()) if hasattr(one, "id")
                }
                if shards & parents:
                    return True
                await asyncio.sleep(0.2)
        return False

    return asyncio.run(look())


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_local_cluster_shares_a_large_run(scripted: ScriptedYard, kind: str) -> None:
    """Without an address, a cluster of this machine's cores: each video once, one report, no secret said."""
    scripted.service.polls = 3
    done = run(scripted, kind)

    assert 0 == done.code, done.stderr
    assert [(JobState.SUCCEEDED, 1)] * VIDEOS == [(job.state, job.attempts) for job in scripted.jobs()]
    assert VIDEOS == len(scripted.service.jobs)
    assert (VIDEOS, VIDEOS, []) == (done.json["submitted"], done.json["succeeded"], done.json["warnings"])
    assert work_of_the_cluster()
    assert MARK not in done.stdout + done.stderr


@pytest.mark.engine
def test_a_cluster_worker_that_is_killed_gives_its_shard_back(scripted: ScriptedYard) -> None:
    """A cluster that was there already, SIGKILL to its worker of two shards of three: none lost, none twice."""
    service, yard = scripted.service, scripted.yard
    service.polls = 1_000_000
    with dask_cluster(yard) as (address, workers):
        command = yard.command("run", "yard", "--json")
        yard.environment |= {"REELROUTE_TASK_RUNNER": "dask", "REELROUTE_CLUSTER_ADDRESS": address}
        with subprocess.Popen(
            command, cwd=yard.folder, env=yard.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            # A shard of three for the run itself, and one for each thread of the workers; every answer is noted.
            until(lambda: len(service.jobs) == VIDEOS or process.poll() is not None)
            until(lambda: all(job.state is JobState.SUBMITTED for job in scripted.jobs()) or process.poll() is not None)
            workers[0].kill()
            service.polls = 0
            stdout, stderr = process.communicate(timeout=400)

    assert 0 == process.returncode, stderr
    told = json.loads(stdout)
    assert [(JobState.SUCCEEDED, 1)] * VIDEOS == [(job.state, job.attempts) for job in scripted.jobs()]
    assert VIDEOS == len(service.jobs)
    assert (VIDEOS, VIDEOS, VIDEOS) == (told["submitted"], told["succeeded"], told["delivered"]["results"])
    assert work_of_the_cluster()
    assert MARK not in stdout + stderr


@pytest.mark.engine
@pytest.mark.parametrize(
    ("kind", "number"), [("dask", signal.SIGTERM), ("ray", signal.SIGTERM), ("dask", signal.SIGINT)]
)
def test_a_run_that_is_stopped_winds_its_local_cluster_down(
    scripted: ScriptedYard, kind: str, number: signal.Signals
) -> None:
    """Signals in mid-submission: every answer is noted, no process is left, and the next run collects the jobs."""
    service, yard = scripted.service, scripted.yard
    service.polls, service.answers_after = 1_000_000, 2.0
    yard.environment |= {"REELROUTE_TASK_RUNNER": kind}

    # A shard for the run itself and one for each core, each with all of its jobs at the service.
    hands = 1 + int(CPU_COUNT)
    ended = scripted.stopped(number, lambda: len(service.jobs) == min(VIDEOS, 3 * hands), "run", "yard", "--json")

    assert 128 + number == ended.code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert number.name == ended.json["interrupted"]
    assert [] == [process.pid for process in psutil.process_iter() if process_of(yard, process)]
    paid = len(service.jobs)
    known = Counter(job.state for job in scripted.jobs())
    assert Counter({JobState.SUBMITTED: paid, JobState.PLANNED: VIDEOS - paid}) == known
    service.polls, service.answers_after = 0, 0.0
    again = run(scripted, "pool")

    assert 0 == again.code, again.stderr
    assert [(JobState.SUCCEEDED, 1)] * VIDEOS == [(job.state, job.attempts) for job in scripted.jobs()]
    assert VIDEOS == len(service.jobs)


def process_of(yard: Yard, process: psutil.Process) -> bool:
    """Whether a process works for this yard: all of its have its home in their environment."""
    with suppress(psutil.Error):
        return process.environ().get("REELROUTE_HOME") == yard.env()["REELROUTE_HOME"]
    return False


@contextmanager
def dask_cluster(yard: Yard) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler, and workers of two threads and of one, as people start them; its address, and the workers."""
    known = yard.folder / "scheduler.json"
    options = ["--scheduler-file", str(known)]
    commands = [
        ["scheduler", *options, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"],
        *(["worker", *options, "--host", "127.0.0.1", "--nthreads", n, "--no-nanny", "--no-dashboard"] for n in "21"),
    ]
    with ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command],
                    cwd=yard.folder,
                    env=yard.env(),
                    stderr=stack.enter_context((yard.folder / f"dask-{len(processes)}.log").open("wb")),
                )
            )
            stack.callback(process.kill)
            processes.append(process)
        until(known.is_file)
        address = json.loads(known.read_text())["address"]
        with distributed.Client(address, timeout=60, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(2, timeout=60)
        yield address, processes[1:]


@pytest.mark.engine
def test_a_cluster_that_is_away_is_told_before_anything_is_paid(scripted: ScriptedYard) -> None:
    """Exit code 3, its address, and nothing at the service."""
    done = run(scripted, "dask", REELROUTE_CLUSTER_ADDRESS="tcp://127.0.0.1:9")

    assert 3 == done.code, done.stderr
    assert "service_unavailable" == done.json["error"]["code"]
    assert "tcp://127.0.0.1:9" in done.json["error"]["message"]
    assert {} == scripted.service.jobs


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_package_that_is_missing_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install; the default asks for nothing."""
    monkeypatch.setattr(cluster, "find_spec", lambda name: None if name.startswith("prefect_") else find_spec(name))
    with pytest.raises(InputInvalid) as refused:
        check_extra(Settings.model_validate({"REELROUTE_TASK_RUNNER": kind}))
    assert f"pip install 'reelroute[{kind}]'" == refused.value.hint
    check_extra(Settings.model_validate({}))


def test_the_path_of_a_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's worker may be in another folder; a name is looked up there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yard.yaml").touch()
    (tmp_path / "yard").touch()
    known = [place_independent(name) for name in ("yard.yaml", "./yard.yaml", "yard", "other.yaml")]
    assert [str(tmp_path / "yard.yaml")] * 2 + ["yard", "other.yaml"] == known


@pytest.mark.parametrize("address", [f"tcp://me:{MARK}@host:8786", "host", "tcp://host:8786/path?x=1", "tcp:// :1"])
def test_an_address_that_cannot_be_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without quoting what may be a password."""
    monkeypatch.setenv("REELROUTE_CLUSTER_ADDRESS", address)
    with pytest.raises(InputInvalid, match="REELROUTE_CLUSTER_ADDRESS") as refused:
        Settings.load()
    assert MARK not in str(refused.value)
