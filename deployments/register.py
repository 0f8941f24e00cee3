"""Make a Prefect server have our deployments, exactly as declared, and say what that took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from deployments.automations import alerts, apply_automation, clean_up, find_block
from deployments.declared import NIGHTLY, Declared
from deployments.server_errors import in_our_words
from tasks.domain.errors import InputInvalid

POOL_TYPES = ("process", "docker", "kubernetes")
_PULL = "deployments.pull.work_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where runs are to happen.

    Attributes:
        pool: The work pool's name.
        kind: Its type; "" for that of a pool that exists, and otherwise process.
        folder: Where a process worker finds ``config/pipelines``.
        image: What containers run.
    """

    pool: str
    kind: str = ""
    folder: Path = field(default_factory=Path.cwd)
    image: str = ""


@dataclass(slots=True)
class Registered:
    """What the server has now. Each change is "created", "updated", "unchanged", "removed" or "left".

    Attributes:
        pool, automations: Name -> change.
        deployments: One entry each: name with the flow's, change, and schedule or "".
    """

    server: str
    pool: dict[str, str] = field(default_factory=dict)
    deployments: list[dict[str, str]] = field(default_factory=list)
    automations: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As ``deploy --json`` prints it."""
        return asdict(self)


async def register(
    client: PrefectClient, wanted: Iterable[Declared], target: Target, *, notify: str = "", prune: bool = False
) -> Registered:
    """Create or bring up to date the pool, every deployment and the automations; done twice, it changes nothing.

    Args:
        notify: ``TYPE/NAME`` of a block that failed, degraded and late runs are told by; "" leaves alerts as they are.
        prune: Remove nightly deployments of pipelines that have no schedule any more.

    Raises:
        ServerUnavailable: The server does not answer, or fails.
        AuthRefused: It wants a login.
        InputInvalid: The pool is of another type, or the block does not exist.
    """
    with in_our_words(f"at {client.api_url}"):
        block = await find_block(client, notify) if notify else None
        done = Registered(str(client.api_url))
        kind, done.pool[target.pool] = await _apply_pool(client, target)
        names = set()
        for one in wanted:
            flow = load_flow(one.entrypoint)
            change = await _apply(client, one, flow, target, kind)
            names.add(one.name)
            when = ", ".join(f"{schedule['cron']} {schedule['timezone']}" for schedule in one.schedules)
            done.deployments.append({"name": f"{flow.name}/{one.name}", "change": change, "schedule": when})
        done.deployments += [entry async for entry in _retire(client, names, prune=prune)]
        for automation in [*clean_up(), *(alerts(block) if block else ())]:
            done.automations[automation.name] = await apply_automation(client, automation)
    return done


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """Import a flow by its module path; never from the current folder, where Prefect would look first."""
    module, _, name = entrypoint.rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


async def _apply_pool(client: PrefectClient, target: Target) -> tuple[str, str]:
    """Return the pool's type, and whether it was created."""
    try:
        there = await client.read_work_pool(target.pool)
    except ObjectNotFound:
        kind = target.kind or POOL_TYPES[0]
        template = await get_default_base_job_template_for_infrastructure_type(kind)
        await client.create_work_pool(
            WorkPoolCreate(name=target.pool, type=kind, base_job_template=template or {}, description="reelroute")
        )
        return kind, "created"
    if target.kind and there.type != target.kind:
        raise InputInvalid(
            f"work pool {target.pool} is of type {there.type}, not {target.kind}",
            hint="name another pool with --pool, or leave --type out",
        )
    return there.type, "unchanged"


async def _apply(client: PrefectClient, wanted: Declared, flow: Flow[..., Any], target: Target, kind: str) -> str:
    """Create or update one deployment."""
    try:
        there = await client.read_deployment_by_name(f"{flow.name}/{wanted.name}")
    except ObjectNotFound:
        there = None
    values = _values(wanted, flow, target, kind)
    schedules = [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]), slug=schedule["slug"]
        )
        for schedule in wanted.schedules
    ]
    if there is not None and _same(there, values, schedules):
        return "unchanged"
    if there is not None:
        # Updating replaces all schedules: those that somebody added in the UI stay, and ours stay paused if they are.
        active = {schedule.slug: schedule.active for schedule in there.schedules}
        for schedule in schedules:
            schedule.active = active.get(schedule.slug, True)
        schedules += [
            DeploymentScheduleCreate(schedule=one.schedule, active=one.active, parameters=one.parameters, slug=one.slug)
            for one in there.schedules
            if one.slug != wanted.name
        ]
    flow_id = await client.create_flow_from_name(flow.name)
    await client.create_deployment(flow_id=flow_id, schedules=schedules, **values)
    return "created" if there is None else "updated"


def _values(wanted: Declared, flow: Flow[..., Any], target: Target, kind: str) -> dict[str, Any]:
    """What ``create_deployment`` takes, but for the schedules."""
    limits = wanted.concurrency
    options = limits and ConcurrencyOptions(
        collision_strategy=ConcurrencyLimitStrategy(limits["collision_strategy"]),
        grace_period_seconds=limits["grace_period_seconds"],
    )
    pull = [{_PULL: {"directory": str(target.folder)}}] if kind == "process" else []
    return {
        "name": wanted.name,
        "description": wanted.description,
        "tags": list(wanted.tags),
        "entrypoint": wanted.entrypoint,
        "parameters": dict(wanted.parameters),
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "work_pool_name": target.pool,
        "pull_steps": pull,
        "job_variables": {"image": target.image} if target.image else {},
        "concurrency_limit": limits.get("limit"),
        "concurrency_options": options or None,
        "version": version("reelroute"),
    }


def _same(there: DeploymentResponse, values: Mapping[str, Any], schedules: list[DeploymentScheduleCreate]) -> bool:
    """Whether a deployment is as it ought to be."""
    limit = there.global_concurrency_limit
    now = {
        **{name: getattr(there, name) for name in values},
        "concurrency_limit": limit.limit if limit else None,
        "pull_steps": there.pull_steps or [],
    }
    ours = [(one.slug, one.schedule.model_dump()) for one in there.schedules if one.slug == there.name]
    return now == dict(values) and ours == [(one.slug, one.schedule.model_dump()) for one in schedules]


async def _retire(client: PrefectClient, kept: set[str], *, prune: bool) -> AsyncIterator[dict[str, str]]:
    """Name, and with ``prune`` remove, the nightly deployments that nothing asks for any more."""
    for there in await client.read_deployments(limit=200):
        if there.name.startswith(f"{NIGHTLY}-") and "reelroute" in there.tags and there.name not in kept:
            if prune:
                await client.delete_deployment(there.id)
            timed = [one.schedule for one in there.schedules if isinstance(one.schedule, CronSchedule)]
            when = ", ".join(f"{one.cron} {one.timezone}" for one in timed)
            yield {"name": f"ingest/{there.name}", "change": "removed" if prune else "left", "schedule": when}
