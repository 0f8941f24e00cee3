"""What ``prefect.yaml`` declares, and the nightly deployments that pipelines add to it. Knows no server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from config.load import find_pipeline, load_pipeline, pipeline_names
from config.problems import PipelineInvalid
from config.schedule import CRON, Schedule
from tasks.domain.errors import InputInvalid

FILE = Path(__file__).with_name("prefect.yaml")
# The one that is made anew for each pipeline with a schedule.
NIGHTLY = "nightly-ingest"
PRUNE = "prune"
# The one that finishes what runs leave that do not wait.
COLLECT = "collect"
_HAS_SCHEDULE = re.compile(rb"(?m)^schedule\s*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One deployment, as it ought to be.

    Attributes:
        name: Without the flow's.
        entrypoint: Module path of the flow.
        concurrency: As in ``prefect.yaml``: ``limit``, ``collision_strategy``, ``grace_period_seconds``; {} for none.
        schedules: Cron expressions with their time zones and slugs.
    """

    name: str
    entrypoint: str
    description: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    concurrency: Mapping[str, Any] = field(default_factory=dict)
    schedules: tuple[Mapping[str, str], ...] = ()


def declared(file: Path = FILE) -> list[Declared]:
    """Read the deployments of a ``prefect.yaml``."""
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        Declared(
            name=entry["name"],
            entrypoint=entry["entrypoint"],
            description=entry["description"],
            tags=tuple(entry["tags"]),
            parameters=entry.get("parameters", {}),
            concurrency=entry.get("concurrency_limit", {}),
            schedules=tuple(entry.get("schedules", ())),
        )
        for entry in data["deployments"]
    ]


def with_switches(deployments: Iterable[Declared], *, prune_weekly: bool) -> Iterator[Declared]:
    """The same deployments, without the schedules that settings switch off."""
    for one in deployments:
        yield one if one.name != PRUNE or prune_weekly else replace(one, schedules=())


def with_nightlies(deployments: list[Declared], schedules: Mapping[str, Schedule]) -> Iterator[Declared]:
    """The same deployments, with one nightly for each pipeline that has a schedule in place of the pattern.

    ``collect`` comes by the clock only where a schedule has ``wait: false``: nobody else leaves it anything by plan.
    """
    leaves = any(not schedule.wait for schedule in schedules.values())
    for one in deployments:
        if one.name == COLLECT and not leaves:
            yield replace(one, schedules=())
            continue
        if one.name != NIGHTLY:
            yield one
            continue
        for pipeline, schedule in sorted(schedules.items()):
            name = f"{NIGHTLY}-{Path(pipeline).stem}"
            when = {"cron": schedule.cron, "timezone": schedule.timezone, "slug": name}
            # Paths are looked up from the folder of `deploy`, as names are.
            parameters = {**one.parameters, "pipeline": pipeline, "wait": schedule.wait}
            yield replace(one, name=name, parameters=parameters, schedules=(when,))


def scheduled_pipelines(asked: Mapping[str, Schedule]) -> dict[str, Schedule]:
    """Pipeline -> when it runs: what was asked for, and what pipeline files that have a name say.

    Who asks says when; whether a run waits is the file's to say.

    Raises:
        PipelineInvalid: A file with a schedule has mistakes.
        InputInvalid: A pipeline that was asked for does not exist.
    """
    found: dict[str, Schedule] = {}
    for name in pipeline_names():
        if name in asked or not _HAS_SCHEDULE.search(find_pipeline(name).read_bytes()):
            continue  # examples whose variables are not set are nobody's concern here
        schedule = load_pipeline(name).schedule
        if schedule is not None:
            found[name] = schedule
    for name, schedule in asked.items():
        try:
            own = load_pipeline(name).schedule
        except PipelineInvalid:
            raise
        except InputInvalid as error:
            raise InputInvalid(f"--nightly {name}: {error.message}", hint=error.hint) from None
        found[name] = schedule.model_copy(update={"wait": own.wait}) if own else schedule
    return found


def read_nightly(text: str) -> tuple[str, Schedule]:
    """Read ``PIPELINE=CRON``, with a time zone behind it if wanted: ``yard=0 2 * * * Europe/Zurich``.

    Raises:
        InputInvalid: It is something else.
    """
    name, _, when = text.partition("=")
    parts = when.split()
    values = {"cron": " ".join(parts[:5])} | ({"timezone": parts[5]} if len(parts) == 6 else {})
    try:
        if not name or len(parts) > 6:
            raise ValueError
        return name, Schedule.model_validate(values)
    except (ValidationError, ValueError):
        raise InputInvalid(
            f"--nightly {text}: is not PIPELINE=CRON", hint=f"CRON is {CRON}; a time zone may follow, such as UTC"
        ) from None
