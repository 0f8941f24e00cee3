"""``reelroute status``: what the ledger knows, counts first, then what landed, then what went wrong and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.options import Json
from deployments.cli.output import Printer
from tasks.domain.wording import count_of

if TYPE_CHECKING:
    from config.pipeline import Pipeline
    from tasks.ledger.base import DeliveryRecord, JobRecord, Ledger
    from tasks.ledger.inbox import Inbox

# The inbox of somebody who takes no upload events.
EMPTY: dict[str, Any] = {"budget": None, "inbox": {"uploads": {}, "oldest": None, "batches": []}, "replaced": 0}


def status(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[PIPELINE]", help="A pipeline file or its name; all pipelines without it.")
    ] = None,
    video: Annotated[
        str, typer.Option(metavar="URI", help="Tell the story of one video: its uploads and jobs, move by move.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Count jobs and deliveries by state, and list failures with their reasons."""
    from config.settings import Settings
    from deployments.cli.plan import existing_ledger
    from tasks.kept import named_pipeline

    printer = Printer(as_json=as_json)
    loaded = named_pipeline(pipeline, Settings.load()) if pipeline else None
    name = loaded.name if loaded else None
    with existing_ledger(Settings.load()) as ledger:
        if ledger is None:
            printer.say(f"nothing has been run yet: there is no ledger in {Settings.load().home}")
            printer.result({"pipeline": name, "jobs": {}, "deliveries": {}, "failures": [], "in_flight": []} | EMPTY)
            return
        if video:
            tell(ledger, video, printer)
            return
        standing = read(ledger, name) | {"budget": read_budget(ledger, loaded)}
    show(standing, printer)
    printer.result(standing)


def read(ledger: Ledger, pipeline: str | None) -> dict[str, Any]:
    """Collect what ``status --json`` prints; videos that were replaced are a number and nothing else."""
    from tasks.domain.job import DeliveryState, JobState

    jobs, deliveries = ledger.counts(pipeline)
    replaced = ledger.replaced(pipeline)
    troubled = [JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN]
    failures = [
        _job(job) | (asdict(job.failure) if job.failure else {})
        for job in ledger.jobs(pipeline, troubled)
        if job.key not in replaced.keys
    ]
    for delivery in ledger.deliveries(pipeline, [DeliveryState.FAILED, DeliveryState.PENDING]):
        job = ledger.job(delivery.job_key, pipeline=delivery.pipeline)
        if delivery.failure is not None and job is not None and job.key not in replaced.keys:
            stage = {"stage": f"route {delivery.route}"}
            failures.append(_job(job) | _standing(delivery) | asdict(delivery.failure) | stage)
    in_flight = [_job(job) | _said(job) for job in ledger.jobs(pipeline, [JobState.SUBMITTING, JobState.SUBMITTED])]
    return {
        "pipeline": pipeline,
        "jobs": {str(state): count - replaced.jobs.get(state, 0) for state, count in jobs.items()},
        "deliveries": {
            route: {str(s): n - replaced.deliveries.get(route, {}).get(s, 0) for s, n in states.items()}
            for route, states in deliveries.items()
        },
        "replaced": len(replaced.keys),
        "failures": failures,
        "in_flight": in_flight,
        "inbox": read_inbox(ledger, pipeline),
    }


def read_budget(ledger: Ledger, pipeline: Pipeline | None) -> dict[str, Any] | None:
    """What the pipeline has spent of the budget of a period; None where there is none."""
    from tasks.choose import spent_in_period

    found = spent_in_period(pipeline, ledger, datetime.now(UTC)) if pipeline else None
    if pipeline is None or found is None:
        return None
    since, spent = found
    limits = pipeline.budget.limits
    return {
        "per": limits.per,
        "since": since.isoformat(),
        "videos": {"spent": spent.videos, "most": limits.max_videos},
        "video_minutes": {"spent": round(spent.minutes, 2), "most": limits.max_video_minutes},
        "cost": {"spent": spent.cost(limits.cost_per_1000_frames), "most": limits.max_cost},
    }


def read_inbox(inbox: Inbox, pipeline: str | None) -> dict[str, Any]:
    """Uploads that were accepted and are not done: pipeline -> state -> how many, the batches, and since when."""
    from tasks.ledger.inbox import BatchState

    uploads: dict[str, dict[str, int]] = {}
    for (name, state), count in inbox.inbox_counts().items():
        if pipeline in (None, name):
            uploads.setdefault(name, {"waiting": 0, "taken": 0})[state] = count
    oldest = inbox.oldest_upload(pipeline)
    live = inbox.batches([BatchState.FORMED, BatchState.STARTED, BatchState.RUNNING])
    batches = [
        {"id": one.id, "pipeline": one.pipeline, "state": str(one.state), "uploads": one.size, "run": one.run}
        for one in live
        if pipeline in (None, one.pipeline)
    ]
    return {"uploads": uploads, "oldest": oldest.isoformat() if oldest else None, "batches": batches}


def _standing(record: JobRecord | DeliveryRecord) -> dict[str, Any]:
    """What jobs and deliveries have in common; ``at`` is the time of the last move."""
    return {"state": str(record.state), "attempts": record.attempts, "at": record.updated_at.isoformat()}


def _job(job: JobRecord) -> dict[str, Any]:
    submitted = job.submitted_at.isoformat() if job.submitted_at else None
    return {"video": job.video.name, "uri": job.video.uri, "job_id": job.job_id, "submitted_at": submitted} | _standing(
        job
    )


def _said(job: JobRecord) -> dict[str, Any]:
    """What the service said last of a job that it has, where that did not tell how the job is."""
    return {"said": asdict(job.failure) if job.failure else None}


def show(standing: dict[str, Any], printer: Printer) -> None:
    """Print the standing for people."""
    from rich.table import Table
    from rich.text import Text

    from tasks.domain.video import printable

    table = Table("", *standing["jobs"], box=None, pad_edge=False)
    table.add_row("jobs", *(str(count or "") for count in standing["jobs"].values()))
    printer.console.print(table)
    if standing["deliveries"]:
        states = list(next(iter(standing["deliveries"].values())))
        routes = Table("route", *states, box=None, pad_edge=False)
        for route, counts in standing["deliveries"].items():
            routes.add_row(Text(printable(route)), *(str(counts[state] or "") for state in states))
        printer.console.print(routes)
    if standing["replaced"]:
        printer.say(
            f"left out: {count_of(standing['replaced'], 'job')} of videos, or of inferences, that newer ones replaced"
        )
    show_budget(standing["budget"], printer)
    show_inbox(standing["inbox"], printer)
    for job in standing["in_flight"]:
        printer.say(
            f"… {printable(job['video'])}: {job['state']} since {job['at']}"
            + (f" (job {job['job_id']})" if job["job_id"] else "")
        )
        if job["said"]:
            printer.say(f"    last said of it: {job['said']['code']}: {printable(job['said']['message'])}")
    for failure in standing["failures"]:
        code, message = failure.get("code", failure["state"]), failure.get("message", "")
        printer.say(f"✗ {printable(failure['video'])}: {failure.get('stage', '')}: {code}: {printable(message)}")
        printer.say(f"    {failure['state']} since {failure['at']}, attempts: {failure['attempts']}")
        if failure.get("hint"):
            printer.say(f"    {failure['hint']}")


def show_budget(budget: dict[str, Any] | None, printer: Printer) -> None:
    """Print what is spent of the budget of a period; nothing if there is none."""
    if budget is None:
        return
    parts = {name: budget[name] for name in ("videos", "video_minutes", "cost") if budget[name]["most"] is not None}
    said = ", ".join(f"{name.replace('_', ' ')} {one['spent']:g} of {one['most']:g}" for name, one in parts.items())
    printer.say(f"budget per {budget['per']}: {said} submitted since {budget['since']}")


def show_inbox(inbox: dict[str, Any], printer: Printer) -> None:
    """Print what has landed and is not done; nothing if all is."""
    from tasks.domain.video import printable

    for name, counts in inbox["uploads"].items():
        printer.say(f"inbox of {printable(name)}: uploads waiting {counts['waiting']}, in batches {counts['taken']}")
    if inbox["oldest"]:
        printer.say(f"  the oldest has been there since {inbox['oldest']}")
    for batch in inbox["batches"]:
        run = f", run {printable(batch['run'])}" if batch["run"] else ""
        printer.say(
            f"  batch {batch['id']} of {batch['uploads']} ({printable(batch['pipeline'])}): {batch['state']}{run}"
        )


def tell(ledger: Ledger, uri: str, printer: Printer) -> None:
    """Print what was reported of a video, every move of its jobs, and the last that was said of them."""
    from tasks.domain.video import printable

    uploads = tell_uploads(ledger, uri, printer)
    stories = []
    for job in ledger.jobs(uri=uri):
        moves = [{**asdict(move), "at": move.at.isoformat()} for move in ledger.story(job.key)]
        failure = asdict(job.failure) if job.failure else None
        stories.append(
            {
                "job": job.key,
                "version": job.video.version,
                "spec": job.spec.identity(),
                "moves": moves,
                "failure": failure,
            }
        )
        printer.say(f"job {job.key}, version {job.video.version}")
        for move in moves:
            printer.say(f"  {move['at']}  {move['subject']}: {move['before']} → {move['state']}  {move['detail']}")
        if job.failure:
            printer.say(f"  {job.failure.code}: {printable(job.failure.message)}")
    if not stories and not uploads:
        printer.say("the ledger knows no job and no upload of this video; give its URI as `file:///…` or `s3://…`")
    printer.result({"video": uri, "uploads": uploads, "jobs": stories})


def tell_uploads(inbox: Inbox, uri: str, printer: Printer) -> list[dict[str, Any]]:
    """Print what was reported of a video; return it as ``--json`` has it."""
    from tasks.domain.video import printable

    told = []
    for one in inbox.uploads_of(uri):
        times = {name: getattr(one, name).isoformat() for name in ("received_at", "due_at", "updated_at")}
        told.append({name: value for name, value in asdict(one).items() if name != "uri"} | times)
        stands = {
            "waiting": f"waits for a run since {times['updated_at']}",
            "taken": f"in batch {one.batch} since {times['updated_at']}",
            "done": f"done at {times['updated_at']}: {printable(one.outcome)}",
        }[one.state]
        printer.say(f"upload for {printable(one.pipeline)}, version {printable(one.version)}")
        printer.say(f"  accepted at {times['received_at']}; {stands}")
    return told
