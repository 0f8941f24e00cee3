"""Which pipelines wait for a service, by the ledger's word and the files at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backlog import find_backlog, pipelines_in_flight
from tasks.infer import advance
from tests.rig import Rig


async def left_in_flight(rig: Rig) -> None:
    """One job at the service, and nobody waiting for it."""
    run = rig.run()
    async with run.holding(rig.listed(run)[0].key) as job:
        assert job is not None
        await advance(run, job, wait=False)


async def test_a_job_in_flight_names_its_pipelines(rig: Rig) -> None:
    """Planned jobs name none: there is nothing to collect of them."""
    run = rig.run()
    rig.listed(run)
    assert set() == pipelines_in_flight(run.ledger)

    await left_in_flight(rig)

    assert {"yard"} == pipelines_in_flight(run.ledger)


async def test_a_pipeline_with_a_file_of_its_name_is_collected(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked up as everywhere: in config/pipelines of the working directory."""
    await left_in_flight(rig)
    folder = rig.folder / "here" / "config" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "yard.yaml").write_text(rig.pipeline_file().read_text())
    monkeypatch.chdir(rig.folder / "here")

    found = find_backlog(rig.settings())

    assert (["yard"], []) == (found.names, found.warnings)


@pytest.mark.parametrize("content", [None, "name: other", "not a pipeline"])
async def test_a_pipeline_without_a_file_of_its_name_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """No file, another pipeline's, or a broken one: a warning that says what to type."""
    await left_in_flight(rig)
    folder = rig.folder / "here" / "config" / "pipelines"
    folder.mkdir(parents=True)
    if content is not None:
        text = rig.pipeline_file().read_text().replace("name: yard", "name: other")
        (folder / "yard.yaml").write_text(text if content.startswith("name") else content)
    monkeypatch.chdir(rig.folder / "here")

    found = find_backlog(rig.settings())

    assert [] == found.names
    assert 1 == len(found.warnings)
    assert "yard" in found.warnings[0]
    assert "reelroute collect FILE" in found.warnings[0]


def test_without_a_ledger_nothing_waits(rig: Rig) -> None:
    """And none is made."""
    found = find_backlog(rig.settings())

    assert ([], []) == (found.names, found.warnings)
    assert not Path(rig.folder / "home").exists()
