"""Runs as processes of this machine, where there is no Prefect server to ask."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.services.events.starters import ProcessStarter, StartFailed
from tasks.ledger.inbox import Batch, BatchState


async def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another batch waits; closing ends the process, which then is over, as is every one that we do not know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    batch = Batch("0" * 32, "yard", BatchState.FORMED, 1, "", "drain", datetime.now(UTC))
    starter = ProcessStarter()
    run = await starter.start("nowhere", batch)
    assert starter.is_busy
    with pytest.raises(StartFailed, match="another batch is being run"):
        await starter.start("nowhere", batch)
    assert (False, True) == (await starter.is_over(run), await starter.is_over("process:1"))
    await starter.close()
    assert await starter.is_over(run)
    with pytest.raises(ProcessLookupError):
        os.kill(int(run.removeprefix("process:")), 0)
    await starter.close()
