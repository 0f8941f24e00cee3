"""Say what a run did: for people (markdown, a table per video) and for machines (one dictionary)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from tasks.choose import Plan
from tasks.discover import Discovery
from tasks.domain.errors import Permanent, ReelrouteError
from tasks.domain.escaping import markdown_text
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.plan import stage_of
from tasks.policies import STEP
from tasks.run import Run
from tasks.storage.filters import NOT_TAKEN
from tasks.submit import failure_of
from tasks.unforeseen import discreet_step

# Rows of the table that people search in the Prefect UI.
TABLE_ROWS = 5000
# Lines written out in the markdown; more of them are in the JSON beside it.
LINES_SHOWN = 100
# Entries of each list in a report's JSON file: a file of gigabytes is read by nobody.
ENTRIES_KEPT = 5000
# What each command says when it has found nothing to do.
NOTHING = {
    "run": "No videos found.",
    "collect": "Nothing was in flight.",
    "replay": "Nothing to replay.",
    "on-upload": "None of the uploads is a video that is still there.",
}


@dataclass(slots=True)
class Outcome:
    """What a run has done so far.

    Attributes:
        submitted: Jobs that it submitted.
        succeeded: Jobs whose results it stored.
        reused: Jobs that took over results that were there: of a copy, or their own in the results store.
        elsewhere: Jobs that another process was at work on.
        left_out: Limit of the budget -> jobs that were planned, and then had no room in its period.
        resumed: Keys of jobs that an earlier run had left in flight.
        delivered: Route name -> videos delivered.
        passing: Job key -> fault that may pass; the ledger has the lasting ones.
        warnings: What was left out or approximated, in sentences.
        stopped: What ended submissions early (a wrong key, a service out of reach), or None.
        selections: Route name -> id of the LightlyOne run that was scheduled for it.
        unscheduled: Why LightlyOne runs that were wanted were not scheduled.
    """

    submitted: int = 0
    succeeded: int = 0
    reused: int = 0
    elsewhere: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    resumed: set[str] = field(default_factory=set)
    delivered: Counter[str] = field(default_factory=Counter)
    passing: dict[str, Failure] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stopped: ReelrouteError | None = None
    selections: dict[str, str] = field(default_factory=dict)
    unscheduled: list[ReelrouteError] = field(default_factory=list)


@dataclass(slots=True)
class Standing:
    """How today's videos stand in the ledger.

    Attributes:
        states: Job state -> videos.
        skipped: Videos whose results were there before the run began.
        undelivered: Videos with results that a route is still to get, and for which nothing went wrong.
        failures: What is wrong, one entry per video and stage.
        rows: The table of the videos that the run touched.
    """

    states: Counter[JobState] = field(default_factory=Counter)
    skipped: int = 0
    undelivered: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


@task(name="report", **STEP)
@discreet_step
async def report_run(run: Run, found: Discovery, plan: Plan, outcome: Outcome, command: str = "run") -> dict[str, Any]:
    """Summarise what a command did, write its report file and show it in Prefect."""
    outcome.passing = passing_of(plan) | outcome.passing
    standing = await asyncio.to_thread(stand, run, outcome)
    summary = summarise(run, found, plan, outcome, standing) | {"command": command}
    text = markdown(summary)
    await asyncio.to_thread(write_report, run, summary, text)
    name = run.pipeline.name
    await acreate_markdown_artifact(text, key=f"{command}-{name}", description=f"What the last {command} of {name} did")
    if standing.rows:
        await acreate_table_artifact(
            standing.rows, key=f"videos-{name}", description=f"Videos in the last run of {name}"
        )
    return summary


def passing_of(plan: Plan) -> dict[str, Failure]:
    """Job key -> why its video could not be looked at just now; what lasts is in the ledger."""
    errors = {key: found.error for key, found in plan.failures}
    return {
        key: failure_of(stage_of(error), error)
        for key, error in errors.items()
        if error is not None and not isinstance(error, Permanent)
    }


def stand(run: Run, outcome: Outcome) -> Standing:
    """Read from the ledger how the videos of today's listing, and those that were resumed, stand."""
    standing = Standing()
    troubled, begun = _failed_deliveries(run), _begun_deliveries(run)
    for job in _touched(run, outcome):
        standing.states[job.state] += 1
        standing.skipped += job.state is JobState.SUCCEEDED and job.updated_at < run.started_at
        standing.undelivered += job.state is JobState.SUCCEEDED and job.key in begun - troubled.keys()
        own = None if job.state is JobState.SUBMITTED else job.failure
        problems = [failure for failure in (outcome.passing.get(job.key) or own,) if failure is not None]
        problems += troubled.get(job.key, [])
        standing.failures += [_entry(job, failure) for failure in problems]
        touched = problems or job.updated_at >= run.started_at
        if touched and len(standing.rows) < TABLE_ROWS:
            standing.rows.append(_row(job, problems))
    return standing


def _touched(run: Run, outcome: Outcome) -> Iterator[JobRecord]:
    resumed = set(outcome.resumed)
    for job in run.ledger.jobs(run.pipeline.name, seen_since=run.started_at):
        resumed.discard(job.key)
        yield job
    for key in resumed:
        late = run.ledger.job(key, pipeline=run.pipeline.name)
        if late is not None:
            yield late


def _failed_deliveries(run: Run) -> dict[str, list[Failure]]:
    """Job key -> why routes do not have its predictions."""
    troubled: dict[str, list[Failure]] = {}
    wanted = {route.name for route in run.pipeline.routes}
    for delivery in run.ledger.deliveries(run.pipeline.name, [DeliveryState.FAILED, DeliveryState.PENDING]):
        if delivery.failure is not None and delivery.route in wanted:
            failure = delivery.failure
            stage = f"route {delivery.route}"
            troubled.setdefault(delivery.job_key, []).append(
                Failure(stage, failure.code, failure.message, failure.hint)
            )
    return troubled


def _begun_deliveries(run: Run) -> set[str]:
    """Keys of jobs whose predictions a route is to get, or is getting."""
    wanted = {route.name for route in run.pipeline.routes}
    begun = run.ledger.deliveries(run.pipeline.name, [DeliveryState.PENDING, DeliveryState.DELIVERING])
    return {delivery.job_key for delivery in begun if delivery.route in wanted}


def _entry(job: JobRecord, failure: Failure) -> dict[str, str]:
    return {"video": job.video.name, **asdict(failure)}


def _row(job: JobRecord, problems: list[Failure]) -> dict[str, Any]:
    return {
        "video": markdown_text(job.video.name),
        "state": str(job.state),
        "seconds": round(job.info.duration_s, 1) if job.info else None,
        "problem": markdown_text("; ".join(f"{one.stage}: {one.code}: {one.message}" for one in problems)),
    }


def summarise(run: Run, found: Discovery, plan: Plan, outcome: Outcome, standing: Standing) -> dict[str, Any]:
    """Put the numbers together as ``run --json`` prints them."""
    unknown = standing.states[JobState.UNKNOWN]
    troubled = {failure["video"] for failure in standing.failures}
    stopped = outcome.stopped
    return {
        "pipeline": run.pipeline.name,
        "discovered": found.videos,
        "skipped": standing.skipped,
        "submitted": outcome.submitted,
        "succeeded": outcome.succeeded,
        "reused": outcome.reused,
        "failed": len(troubled) - unknown,
        "unknown": unknown,
        "in_flight": standing.states[JobState.SUBMITTED] + standing.states[JobState.SUBMITTING],
        "elsewhere": outcome.elsewhere,
        "undelivered": standing.undelivered,
        "not_taken": dict(found.not_taken),
        "left_out": dict(plan.left_out + outcome.left_out),
        "delivered": {route.name: outcome.delivered[route.name] for route in run.pipeline.routes},
        "selections": outcome.selections,
        "unscheduled": len(outcome.unscheduled),
        "estimate": asdict(plan.estimate),
        "failures": standing.failures,
        "warnings": [*found.warnings, *plan.warnings, *plan.notes, *outcome.warnings],
        "interrupted": run.stop.why,
        "stopped": {"code": stopped.code, "message": stopped.message, "hint": stopped.hint} if stopped else None,
        "exit_code": run.stop.exit_code or exit_code(outcome, bool(troubled)),
        "started_at": run.started_at.isoformat(),
        "seconds": round((run.clock() - run.started_at).total_seconds(), 1),
        "report": None,
    }


def exit_code(outcome: Outcome, trouble: bool) -> int:
    """What the command line returns: 0 all well, 1 some videos failed, else what stopped the run."""
    if outcome.stopped is not None:
        return outcome.stopped.exit_code
    return max((int(trouble), *(error.exit_code for error in outcome.unscheduled)))


def write_report(run: Run, summary: dict[str, Any], text: str) -> None:
    """Keep the report as markdown, the summary's ``report``, and beside it as JSON.

    The JSON has the first ``ENTRIES_KEPT`` failures and warnings, and how many more there are. A disk that takes no
    report costs a warning: what the run did is done, and is told all the same.
    """
    path = run.settings.home / "reports" / f"{run.started_at:%Y%m%dT%H%M%S}-{run.pipeline.name}-{run.owner[-8:]}.md"
    summary["report"] = str(path)
    shown = {name: summary[name][:ENTRIES_KEPT] for name in ("failures", "warnings")}
    more = {name: len(summary[name]) - len(entries) for name, entries in shown.items()}
    kept = summary | shown | ({"not_shown": more} if any(more.values()) else {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        path.with_suffix(".json").write_text(json.dumps(kept, indent=2), encoding="utf-8")
    except OSError as error:
        summary["report"] = None
        summary["warnings"].append(f"the report could not be written: {path.parent}: {error.strerror}")


def markdown(summary: dict[str, Any]) -> str:
    """Render a summary for people."""
    lines = [f"# {summary['pipeline']}", "", markdown_text(headline(summary)), ""]
    lines += ["| | videos |", "|---|---|"]
    counted = ("discovered", "skipped", "submitted", "succeeded", "reused", "failed", "unknown", "in_flight")
    lines += [f"| {name.replace('_', ' ')} | {summary[name]} |" for name in counted]
    lines += [
        f"| not taken: {NOT_TAKEN.get(reason, reason)} | {count} |" for reason, count in summary["not_taken"].items()
    ]
    lines += [f"| left out by {reason} | {count} |" for reason, count in summary["left_out"].items()]
    lines += [f"| delivered to {markdown_text(route)} | {count} |" for route, count in summary["delivered"].items()]
    if summary["failures"]:
        lines += ["", "## Failures", "", "| video | stage | code | what | what to do |", "|---|---|---|---|---|"]
        for failure in summary["failures"][:LINES_SHOWN]:
            cells = (failure[name] for name in ("video", "stage", "code", "message", "hint"))
            lines.append("| " + " | ".join(markdown_text(cell) for cell in cells) + " |")
        lines += _more(summary["failures"])
    if summary["warnings"]:
        lines += ["", "## Warnings", ""]
        lines += [f"- {markdown_text(warning)}" for warning in summary["warnings"][:LINES_SHOWN]]
        lines += _more(summary["warnings"])
    return "\n".join(lines) + "\n"


def headline(summary: dict[str, Any]) -> str:
    """One sentence on how the run went."""
    if summary["interrupted"]:
        left = f"{count_of(summary['in_flight'], 'job')} not done yet; " if summary["in_flight"] else ""
        return f"Interrupted by {summary['interrupted']}: {left}run the same command again to go on."
    if summary["stopped"]:
        return f"Stopped: {summary['stopped']['message']}."
    if not summary["discovered"]:
        return NOTHING[summary.get("command", "run")]
    bad, rest = summary["failed"] + summary["unknown"], _left(summary)
    if bad:
        rest.insert(0, f"{bad} of {count_of(summary['discovered'], 'video')} failed")
    if rest:
        return "; ".join(rest) + "."
    if summary["unscheduled"]:
        return "Everything is delivered, but LightlyOne was not asked to select: see the warnings."
    if summary["skipped"] == summary["discovered"] and not any(summary["delivered"].values()):
        return f"Nothing to do: {count_of(summary['discovered'], 'video')} done before."
    return "All is well."


def _left(summary: dict[str, Any]) -> list[str]:
    """What is neither done nor failed, and what takes it up, in phrases."""
    # A job that another process is at work on is most often at the service.
    waiting = max(0, summary["in_flight"] - summary["elsewhere"])
    left_out = sum(summary["left_out"].values())
    said = {
        f"{count_of(waiting, 'job')} not done yet, for the next run or `reelroute collect`": waiting,
        f"{count_of(summary['elsewhere'], 'video')} in the hands of another process": summary["elsewhere"],
        f"{count_of(summary['undelivered'], 'video')} with results, to be delivered by the next run": summary[
            "undelivered"
        ],
        f"{count_of(left_out, 'video')} left for another run: {', '.join(summary['left_out'])}": left_out,
    }
    return [text for text, count in said.items() if count]


def _more(items: list[Any]) -> list[str]:
    hidden = len(items) - LINES_SHOWN
    if hidden <= 0:
        return []
    said = f"\n… and {hidden} more in the JSON file beside this report"
    if len(items) > ENTRIES_KEPT:
        said += f", which has the first {ENTRIES_KEPT}; `reelroute status` lists every failure"
    return [f"{said}."]
