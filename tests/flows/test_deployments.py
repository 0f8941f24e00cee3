"""Deployments on a real Prefect server with a login, run by a real worker: scheduled, from the form, shared."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import PrefectHTTPStatusError

from tasks.domain.job import JobState
from tests.flows.orchestrated import Studio, studio
from tests.flows.scripted import until
from tests.orchestra import LOGIN
from tests.postgres import PostgresServer
from tests.scripted_service import MARK

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

NIGHTLY = "ingest/nightly-ingest-yard"
ADHOC = "adhoc-ingest/adhoc-ingest"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Studio]:
    """A server with our deployments and one worker, for all tests here; the ledger is in PostgreSQL."""
    with postgres.database() as name, studio(tmp_path_factory.mktemp("studio"), postgres.url(name)) as made:
        made.pipeline("yard", 2, more='schedule: {cron: "30 2 * * *", timezone: Asia/Tokyo}')
        # Runs that leave their jobs, though not while we look: they give `collect` a schedule.
        made.pipeline("leaving", 1, more='schedule: {cron: "0 0 29 2 *", wait: false}')
        first = made.orchestra.reelroute("deploy", "--json")
        assert 0 == first.returncode, first.stderr
        made.first_deploy = json.loads(first.stdout)
        asyncio.run(made.orchestra.ask(change_schedules))
        made.orchestra.start_worker("one")
        yield made


async def change_schedules(client: PrefectClient) -> None:
    """Do as somebody in the UI: switch one off (every minute a run would make the tests slow), and add one."""
    collect = await client.read_deployment_by_name("collect/collect")
    await client.update_deployment_schedule(collect.id, collect.schedules[0].id, active=False)
    nightly = await client.read_deployment_by_name(NIGHTLY)
    rarely = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=900)), active=False)
    await client.create_deployment_schedules(nightly.id, [rarely])


@pytest.fixture
def live(running: Studio) -> Studio:
    """The same, with a service that has forgotten everything."""
    running.service.forget()
    running.service.polls = 0
    return running


def form(live: Studio, name: str, **more: Any) -> dict[str, Any]:
    """The form's parameters for the folder of a pipeline."""
    user = live.orchestra.user
    filled = {"source": str(user / f"{name}-videos"), "model": "players-x1/1", "backend": "local"}
    return {**filled, "results": str(user / f"{name}-form"), **more}


async def test_deploy_registers_everything_once(live: Studio) -> None:
    """The first call creates; the next ones change a schedule, when it is another one, and nothing else.

    Not what somebody did in the UI in between: a schedule switched off, and another one added.
    """
    first = {entry["name"]: entry for entry in live.first_deploy["deployments"]}
    assert {"created"} == {entry["change"] for entry in first.values()}
    assert {NIGHTLY, ADHOC, "collect/collect", "replay/replay", "ingest-shard/ingest-shard"} <= set(first)
    assert "30 2 * * * Asia/Tokyo" == first[NIGHTLY]["schedule"]
    assert ("created", 2) == (live.first_deploy["pool"]["reelroute"], len(live.first_deploy["automations"]))

    second = json.loads(live.orchestra.reelroute("deploy", "--nightly", "yard=0 3 * * *", "--json").stdout)
    assert {NIGHTLY: "0 3 * * * UTC"} == {
        entry["name"]: entry["schedule"] for entry in second["deployments"] if entry["change"] != "unchanged"
    }
    assert {"unchanged"} == {*second["pool"].values(), *second["automations"].values()}

    back = json.loads(live.orchestra.reelroute("deploy", "--json").stdout)
    assert [NIGHTLY] == [entry["name"] for entry in back["deployments"] if entry["change"] == "updated"]

    for name, expected in (("collect/collect", [False]), (NIGHTLY, [False, True])):
        found = await live.orchestra.ask(partial(PrefectClient.read_deployment_by_name, name=name))
        assert expected == sorted(schedule.active for schedule in found.schedules)


async def test_the_server_plans_the_nightly_runs_by_the_pipelines_clock(live: Studio) -> None:
    """Half past two in Tokyo, whatever the server's own zone."""

    async def planned(client: PrefectClient) -> list[FlowRun]:
        named = DeploymentFilter(name=DeploymentFilterName(any_=["nightly-ingest-yard"]))
        return await client.read_flow_runs(deployment_filter=named)

    runs: list[FlowRun] = []
    while not any(run.auto_scheduled for run in runs):  # the server's scheduler comes by every two seconds
        await asyncio.sleep(0.5)
        runs = await live.orchestra.ask(planned)
    times = [run.expected_start_time for run in runs if run.auto_scheduled]
    assert {(2, 30)} == {(t.astimezone(ZoneInfo("Asia/Tokyo")).hour, t.minute) for t in times if t}


async def test_a_scheduled_run_delivers_by_itself(live: Studio) -> None:
    """Seconds after its time the worker has run it, and the results are where the pipeline says."""
    soon = datetime.now(UTC) + timedelta(seconds=8)

    async def schedule(client: PrefectClient) -> Any:
        found = await client.read_deployment_by_name(NIGHTLY)
        every_day = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=1), anchor_date=soon))
        (made,) = await client.create_deployment_schedules(found.id, [every_day])
        return found.id, made.id

    deployment, made = await live.orchestra.ask(schedule)
    out = live.orchestra.user / "yard-out"
    until(lambda: out.is_dir() and 2 == len(list(out.glob("*.json.gz"))))
    await live.orchestra.ask(lambda client: client.delete_deployment_schedule(deployment, made))
    assert [JobState.SUCCEEDED] * 2 == [job.state for job in live.jobs("yard")]
    assert 2 == live.submissions()


async def test_the_form_runs_a_pipeline_that_has_no_file(live: Studio) -> None:
    """A dry run submits nothing and says what it would do; the run itself delivers."""
    live.pipeline("form", 3)
    looked = await live.orchestra.ended(await live.orchestra.start_run(ADHOC, **form(live, "form", dry_run=True)))
    assert "COMPLETED" == looked.state_type, live.orchestra.logs()
    assert 0 == live.submissions()

    ran = await live.orchestra.ended(await live.orchestra.start_run(ADHOC, **form(live, "form")))

    assert "COMPLETED" == ran.state_type, live.orchestra.logs()
    assert 3 == live.submissions()
    assert 3 == len(list((live.orchestra.user / "form-form").glob("*.parquet")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": f"s3://bucket/key?X-Amz-Signature={MARK}"},
        {"source": f"https://bucket.s3.amazonaws.com/key?sig={MARK}"},
        {"results": f"s3://key:{MARK}@bucket/"},
        {"fps": 500},
        {"backend": "magic"},
    ],
)
async def test_the_server_refuses_signed_addresses_before_it_keeps_them(live: Studio, wrong: dict[str, Any]) -> None:
    """A signature, a password or a value out of bounds never becomes a stored parameter."""
    with pytest.raises(PrefectHTTPStatusError) as refused:
        await live.orchestra.start_run(ADHOC, **form(live, "form", **wrong))

    assert 409 == refused.value.response.status_code
    runs = await live.orchestra.ask(lambda client: client.read_flow_runs(limit=200))
    assert MARK not in json.dumps([run.parameters for run in runs], default=str)


def test_deploy_without_the_login_is_told_so(live: Studio) -> None:
    """Exit code 3, what to set, and not the login that was tried."""
    refused = live.orchestra.reelroute("deploy", "--json", PREFECT_API_AUTH_STRING="reelroute:MARKED-wrong")

    assert 3 == refused.returncode
    told = json.loads(refused.stdout)["error"]
    assert "auth_refused" == told["code"]
    assert "PREFECT_API_AUTH_STRING" in told["hint"]
    assert "MARKED" not in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_server_out_of_reach_is_told_so(live: Studio) -> None:
    """Exit code 3 from deploy and run alike, in one message."""
    nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    for command in (["deploy"], ["run", "yard"]):
        refused = live.orchestra.reelroute(*command, "--json", **nowhere)
        assert 3 == refused.returncode, refused.stderr
        assert "server_unavailable" == json.loads(refused.stdout)["error"]["code"]
        assert "Traceback" not in refused.stderr


async def test_a_run_that_does_not_wait_is_finished_by_collect(live: Studio) -> None:
    """It submits and leaves, with no process waiting; the collect deployment stores and delivers."""
    out = live.pipeline("left", 3)
    left = await live.orchestra.ended(await live.orchestra.start_run(ADHOC, pipeline="left", wait=False))
    assert "COMPLETED" == left.state_type, live.orchestra.logs()
    assert [JobState.SUBMITTED] * 3 == [job.state for job in live.jobs("left")]
    assert not out.exists()

    collected = await live.orchestra.ended(await live.orchestra.start_run("collect/collect"))

    assert "COMPLETED" == collected.state_type, live.orchestra.logs()
    assert [JobState.SUCCEEDED] * 3 == [job.state for job in live.jobs("left")]
    assert (3, 3) == (live.submissions(), len(list(out.glob("*.json.gz"))))


async def helpers_of(live: Studio, run: FlowRun) -> list[FlowRun]:
    """The shards' flow runs that a run started."""
    children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    return await live.orchestra.ask(lambda client: client.read_flow_runs(flow_run_filter=children))


async def test_workers_share_a_large_run_and_one_that_is_killed_loses_nothing(live: Studio) -> None:
    """Two workers, 120 videos in shards of 30, one worker SIGKILLed in mid-shard: none twice, none lost, one report."""
    live.pipeline("large", 120, poll="1s")
    live.service.polls = 3
    live.orchestra.start_worker("two")
    run = await live.orchestra.start_run(ADHOC, pipeline="large")
    until(lambda: live.submissions() > 60)
    # The parent is on either worker. What the killed one held comes back: the other one sees that it is dead.
    parent = await live.orchestra.ask(lambda client: client.read_flow_run(run.id))
    assert parent.state is not None
    assert parent.state.is_running()
    live.orchestra.kill("two" if live.orchestra.worker_of(run) == "one" else "one")

    ended = await live.orchestra.ended(run)

    assert "COMPLETED" == ended.state_type, live.orchestra.logs()
    jobs = live.jobs("large")
    # A request that was under way at the moment of the kill may have been taken: nobody knows, and it is not repeated.
    unknown = {job.video.name for job in jobs if job.state is JobState.UNKNOWN}
    well = 120 - len(unknown)
    assert ([1] * 120, well) == (
        [job.attempts for job in jobs],
        sum(job.state is JobState.SUCCEEDED for job in jobs),
    )
    assert len(unknown) < 30
    assert well <= live.submissions() <= 120
    assert well == len(list((live.orchestra.user / "large-out").glob("*.json.gz")))
    assert live.service.most_open <= 40
    helpers = await helpers_of(live, run)
    assert 2 == len(helpers)  # one for each worker, of three shards
    assert all({"pipeline", "shard"} == set(helper.parameters) for helper in helpers)
    reports = (live.orchestra.user / "home" / "reports").glob("*-large-*.json")
    (told,) = (json.loads(report.read_text()) for report in reports)
    assert (120, well, well, {"results": well}) == tuple(
        told[name] for name in ("discovered", "submitted", "succeeded", "delivered")
    )
    assert unknown == {failure["video"] for failure in told["failures"]}
    if "one" not in live.orchestra.workers:
        live.orchestra.start_worker("one")


async def test_a_restart_of_the_server_in_mid_run_is_sat_out(live: Studio) -> None:
    """Jobs go on at the service meanwhile; the run ends well and delivers."""
    live.pipeline("restart", 5, poll="1s")
    live.service.polls = 20
    run = await live.orchestra.start_run(ADHOC, pipeline="restart")
    until(lambda: 5 == live.submissions())
    live.orchestra.stop_server(signal.SIGKILL)
    live.orchestra.start_server()

    ended = await live.orchestra.ended(run)

    assert "COMPLETED" == ended.state_type, live.orchestra.logs()
    assert [(JobState.SUCCEEDED, 1)] * 5 == [(job.state, job.attempts) for job in live.jobs("restart")]


def test_no_secret_is_kept_by_the_server(live: Studio) -> None:
    """Neither the login nor a key nor a signature is in its database or its logs."""
    folder = live.orchestra.folder
    kept = [path for path in (folder / "prefect").rglob("*") if path.is_file()] + list(folder.glob("*.log"))
    assert [] == [path.name for path in kept if MARK.encode() in path.read_bytes()]
    assert MARK in LOGIN
