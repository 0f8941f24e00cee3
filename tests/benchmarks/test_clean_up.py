"""The automations against a real server, with shorter terms: minutes of waiting, so not among the normal tests."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending

from deployments.automations import apply_automation, clean_up
from tests.orchestra import Orchestra

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SHORT = timedelta(seconds=45)
HEARTBEAT_S = "30"


async def test_only_runs_whose_process_is_gone_are_crashed(tmp_path: Path) -> None:
    """A killed run and one lost before it began end as Crashed; a degraded one stays as it ended."""
    orchestra = Orchestra(tmp_path)
    try:
        orchestra.start_server()

        async def prepare(client: PrefectClient) -> FlowRun:
            for automation in clean_up(silent=SHORT, stuck=SHORT):
                assert "created" == await apply_automation(client, automation)
                assert "unchanged" == await apply_automation(client, automation)
            from tests.benchmarks.short_flows import degraded

            return await client.create_flow_run(degraded, tags=["reelroute"], state=Pending())

        await orchestra.ask(prepare)
        environment = orchestra.environment(PREFECT_FLOWS_HEARTBEAT_FREQUENCY=HEARTBEAT_S)
        command = [sys.executable, "-m", "tests.benchmarks.short_flows"]
        well = orchestra._process("degraded", [*command, "degraded"], environment)
        killed = orchestra._process("endless", [*command, "endless"], environment)
        assert 0 == well.wait(200)
        await _until(orchestra, lambda runs: any(run.state_name == "Running" for run in runs))
        await asyncio.sleep(5)  # its first heartbeat has to arrive
        killed.kill()

        runs = await _until(orchestra, lambda runs: 2 == sum(run.state_name == "Crashed" for run in runs))
        await asyncio.sleep(SHORT.total_seconds())  # what would be crashed by mistake is crashed by then
        runs = await orchestra.ask(lambda client: client.read_flow_runs())
    finally:
        orchestra.stop()
    assert ["Crashed", "Crashed", "Degraded"] == sorted(run.state_name or "" for run in runs)
    messages = sorted(run.state.message or "" for run in runs if run.state)
    print("\n" + "\n".join(messages))
    assert messages[1].startswith("no sign of life")
    assert messages[2].startswith("pending for")


async def _until(orchestra: Orchestra, condition: object) -> list[FlowRun]:
    end = monotonic() + 400
    while True:
        try:
            runs = await orchestra.ask(lambda client: client.read_flow_runs())
        except httpx.HTTPError:
            runs = []
        if condition(runs):  # type: ignore[operator]
            return runs
        assert monotonic() < end, [(run.name, run.state_name) for run in runs]
        await asyncio.sleep(1)
