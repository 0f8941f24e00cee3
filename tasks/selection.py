"""Ask LightlyOne to select from what a run has delivered, where a route says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

from prefect import get_run_logger, task

from config.pipeline import Pipeline
from config.routes import LightlyRoute
from config.selection import SelectionRun
from config.settings import Settings
from tasks.domain.errors import ReelrouteError
from tasks.policies import STEP
from tasks.report import Outcome
from tasks.run import Run
from tasks.sinks.lightly.api import LightlyApi


@task(name="schedule selection", **STEP)
async def schedule_selections(run: Run, outcome: Outcome) -> None:
    """Schedule the selection run of every route that asks for one and got something new; once per route."""
    log = get_run_logger()
    await asyncio.to_thread(schedule_due, run.pipeline, run.settings, outcome)
    for name, scheduled in outcome.selections.items():
        log.info("route %s: LightlyOne has scheduled run %s", name, scheduled)
    for error in outcome.unscheduled:
        log.error("no selection run was scheduled: %s: %s", error.code, error.message)


def schedule_due(pipeline: Pipeline, settings: Settings, outcome: Outcome) -> None:
    """As :func:`schedule_selections`; notes in the outcome what was scheduled, and why what was not."""
    for name, wanted in due(pipeline, outcome):
        try:
            outcome.selections[name] = schedule(wanted, settings)
        except ReelrouteError as error:
            # The predictions are there: nothing has to be delivered again for this.
            outcome.unscheduled.append(error)
            said = f"{name}: no selection run was scheduled: {error.message}"
            outcome.warnings.append(f"{said} ({error.hint})" if error.hint else said)


def due(pipeline: Pipeline, outcome: Outcome) -> Iterator[tuple[str, SelectionRun]]:
    """Routes that ask for a selection run and have delivered something."""
    for route in pipeline.routes:
        if isinstance(route, LightlyRoute) and route.selection_run and outcome.delivered[route.name]:
            yield route.name, route.selection_run


def schedule(wanted: SelectionRun, settings: Settings) -> str:
    """Schedule one run; return its id. Raises as :meth:`LightlyApi.schedule` does."""
    with closing(api_of(settings)) as api:
        return api.schedule(
            wanted.dataset_id,
            selection=wanted.selection,
            worker=wanted.worker,
            runs_on=wanted.runs_on,
            priority=wanted.priority,
        )


def api_of(settings: Settings) -> LightlyApi:
    """LightlyOne's API, with the token of the settings; without one it refuses everything."""
    token = settings.lightly_token.get_secret_value() if settings.lightly_token else ""
    return LightlyApi(settings.lightly_server_location, token)
