"""What is declared: the file that both `prefect deploy` and `reelroute deploy` read, and nightly deployments."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from config.problems import PipelineInvalid
from config.schedule import Schedule
from deployments.cli.deploy import server_url
from deployments.declared import declared, read_nightly, scheduled_pipelines, with_nightlies, with_switches
from deployments.register import Target, _values
from flows.naming import run_name
from tasks.domain.errors import InputInvalid

ROOT = Path(__file__).parents[3]
ENTRYPOINTS = sorted({one.entrypoint for one in declared()})
PIPELINE = """
name: {name}
sources: [{{uri: videos}}]
inference: {{backend: local, model: oidv4/1}}
routes: [{{to: results, uri: out}}]
{more}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty config/pipelines in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "config" / "pipelines"
    folder.mkdir(parents=True)
    return folder


LOAD = """
import sys
from prefect.flows import load_flow_from_entrypoint
for entrypoint in sys.argv[1:]:
    load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
"""


@pytest.mark.parametrize("way", ["module", "file"])
def test_every_entrypoint_loads_as_prefect_loads_it(way: str, tmp_path: Path) -> None:
    """By its module from any folder, and by its file with flows/ first on the path, where a name could be shadowed."""
    split = [entrypoint.rpartition(".") for entrypoint in ENTRYPOINTS]
    files = [f"{module.replace('.', '/')}.py:{name}" for module, _, name in split]
    command = [sys.executable, "-c", LOAD, *(files if way == "file" else ENTRYPOINTS)]

    done = subprocess.run(command, cwd=ROOT if way == "file" else tmp_path, capture_output=True, text=True)

    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_every_parameter_is_described_and_drawn_as_one_field(entrypoint: str) -> None:
    """No union, no nested model, a default for all but what has none; the flow is named after its file."""
    flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    schema = parameter_schema(flow).model_dump_for_openapi()
    properties = schema["properties"]

    assert properties
    assert all(len(field.get("description", "")) > 10 for field in properties.values())
    assert {"string", "integer", "number", "boolean"} >= {field["type"] for field in properties.values()}
    without = {n for n, p in inspect.signature(flow.fn).parameters.items() if p.default is inspect.Parameter.empty}
    assert without == set(schema.get("required", []))
    assert flow.name.replace("-", "_") == entrypoint.split(".")[1] == flow.fn.__name__
    # Where there is no pipeline, the name has no gap at its end.
    assert flow.flow_run_name in (run_name, "{shard}")


def test_each_pipeline_with_a_schedule_gets_a_deployment_of_its_own(here: Path) -> None:
    """By its own clock; asked for on the command line, that counts. The pattern itself is not deployed."""
    (here / "yard.yaml").write_text(
        PIPELINE.format(name="yard", more="schedule: {cron: 0 2 * * *, timezone: Asia/Tokyo, wait: false}")
    )
    (here / "plain.yaml").write_text(PIPELINE.format(name="plain", more=""))
    (here / "unset.yaml").write_text(PIPELINE.format(name="unset", more="").replace("videos", "$NOT_SET_ANYWHERE"))

    found = scheduled_pipelines({"plain": Schedule(cron="5 * * * *")})
    made = {one.name: one for one in with_nightlies(declared(), found)}

    assert {"yard", "plain"} == set(found)
    nightly = made["nightly-ingest-yard"]
    assert ({"pipeline": "yard", "wait": False}, 1) == (nightly.parameters, nightly.concurrency["limit"])
    assert ("0 2 * * *", "Asia/Tokyo") == (nightly.schedules[0]["cron"], nightly.schedules[0]["timezone"])
    assert "5 * * * *" == made["nightly-ingest-plain"].schedules[0]["cron"]
    assert "nightly-ingest" not in made
    assert {"adhoc-ingest", "collect", "replay", "ingest-shard"} <= set(made)

    later = scheduled_pipelines({"yard": Schedule(cron="0 3 * * *")})["yard"]
    assert ("0 3 * * *", "UTC", False) == (later.cron, later.timezone, later.wait)  # whether it waits, the file says


def test_collect_comes_by_the_clock_only_where_a_pipeline_does_not_wait() -> None:
    """For everybody else it would be a process a minute, and most of what the list of runs shows."""
    nobody, some, one = (
        {each.name: each for each in with_nightlies(declared(), schedules)}["collect"].schedules
        for schedules in (
            {},
            {"a": Schedule(cron="0 2 * * *")},
            {"a": Schedule(cron="0 2 * * *"), "b": Schedule(cron="0 3 * * *", wait=False)},
        )
    )

    assert ((), (), ["* * * * *"]) == (nobody, some, [schedule["cron"] for schedule in one])


def test_a_schedule_is_known_by_its_deployments_name() -> None:
    """So that deploying again can tell ours from those that somebody added."""
    assert [one.name for one in declared() if one.schedules] == [
        schedule["slug"] for one in declared() for schedule in one.schedules
    ]


def test_pruning_has_a_schedule_unless_it_is_switched_off() -> None:
    """The deployment stays, to be started by hand; nothing else changes."""
    made = {one.name: one for one in declared()}
    on, off = ({one.name: one for one in with_switches(declared(), prune_weekly=weekly)} for weekly in (True, False))

    assert ("0 5 * * 0", "flows.prune.prune") == (made["prune"].schedules[0]["cron"], made["prune"].entrypoint)
    assert made == on
    assert {name: one for name, one in made.items() if one != off[name]} == {"prune": made["prune"]}
    assert () == off["prune"].schedules


def test_a_broken_file_with_a_schedule_is_told(here: Path) -> None:
    """It would silently never run; and a pipeline that does not exist cannot be asked for."""
    (here / "yard.yaml").write_text(PIPELINE.format(name="yard", more="schedule: {cron: 2am}"))
    with pytest.raises(PipelineInvalid, match=r"yard\.yaml:6: schedule\.cron: '2am' is not a cron schedule"):
        scheduled_pipelines({})
    (here / "yard.yaml").unlink()
    with pytest.raises(InputInvalid, match="--nightly yard: there is no pipeline 'yard'"):
        scheduled_pipelines({"yard": Schedule(cron="0 2 * * *")})


def test_a_schedule_on_the_command_line() -> None:
    """Five fields and perhaps a zone; anything else is told with what is right."""
    assert ("yard", Schedule(cron="0 2 * * *", timezone="UTC")) == read_nightly("yard=0 2 * * *")
    assert "Europe/Zurich" == read_nightly("a/b.yaml=0 2 * * * Europe/Zurich")[1].timezone
    for wrong in ("yard", "=0 2 * * *", "yard=", "yard=0 2 * *", "yard=0 2 * * * Mars/Base", "yard=0 2 * * * UTC x"):
        with pytest.raises(InputInvalid, match="is not PIPELINE=CRON"):
            read_nightly(wrong)


def test_containers_keep_their_own_folder_and_processes_are_taken_to_ours(tmp_path: Path) -> None:
    """A folder of the machine that deploys means nothing in an image."""
    one = declared()[0]
    flow: Flow[..., Any] = load_flow_from_entrypoint(one.entrypoint, use_placeholder_flow=False)
    target = Target(pool="p", folder=tmp_path, image="reelroute:1")

    here, there = (_values(one, flow, target, kind) for kind in ("process", "kubernetes"))

    assert str(tmp_path) in json.dumps(here["pull_steps"])
    assert ([], {"image": "reelroute:1"}) == (there["pull_steps"], there["job_variables"])


def test_deploy_needs_a_server_that_stays() -> None:
    """One that Prefect would start for the command alone would forget everything."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(InputInvalid, match="PREFECT_API_URL"):
        server_url()
