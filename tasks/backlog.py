"""Which pipelines have jobs in flight, as the ledger knows it, and which files they are in."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.settings import Settings
from tasks.domain.errors import InputInvalid, LedgerMissing
from tasks.domain.job import JobState
from tasks.kept import named_pipeline
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger

IN_FLIGHT = (JobState.SUBMITTING, JobState.SUBMITTED)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Pipelines that wait for a service.

    Attributes:
        names: Those whose file is known, sorted.
        warnings: A sentence for each of the others.
    """

    names: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_backlog(settings: Settings) -> Backlog:
    """Look up the pipelines of every job in flight; a job of several counts for each.

    The ledger knows pipelines by name only, so their files must be in ``config/pipelines``.
    """
    try:
        ledger = open_ledger(settings.ledger_url.get_secret_value(), create=False)
    except LedgerMissing:
        return Backlog()
    try:
        names = pipelines_in_flight(ledger)
    finally:
        ledger.close()
    found = Backlog()
    for name in sorted(names):
        problem = _problem(name, settings)
        if problem:
            found.warnings.append(f"jobs of pipeline {name} are in flight and were left there: {problem}")
        else:
            found.names.append(name)
    return found


def pipelines_in_flight(ledger: Ledger) -> set[str]:
    """Name the pipelines whose routes wait for a job in flight: deliveries are planned before a job is submitted."""
    return {
        delivery.pipeline for job in ledger.jobs(states=IN_FLIGHT) for delivery in ledger.deliveries(job_key=job.key)
    }


def _problem(name: str, settings: Settings) -> str:
    """Why a pipeline cannot be loaded by its name, or ""."""
    try:
        found = named_pipeline(name, settings)
    except InputInvalid as error:
        return f"{error.message}; give its file: `reelroute collect FILE`"
    if found.name != name:
        return f"config/pipelines/{name}.yaml is of pipeline {found.name}; give its file: `reelroute collect FILE`"
    return ""
