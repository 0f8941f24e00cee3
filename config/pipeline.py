"""The model of a pipeline file: sources -> inference -> routes, within a budget.

Pure data: nothing in these models reads a file, a clock or a network, and only the working
directory and the home folder decide what a relative path means. Reading a YAML file into them,
with lines in the messages, is :mod:`config.load`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from config.budget import Budget
from config.conflicts import conflicts
from config.fields import Allowed, Section, like, not_empty
from config.inference import Inference
from config.problems import refuse
from config.routes import Route, named
from config.schedule import Schedule
from config.sources import Source

__all__ = ["Inference", "Pipeline", "Schedule", "Source"]


class Pipeline(Section):
    """A pipeline file: sources -> inference -> routes. Every route has a name."""

    name: Annotated[
        str,
        like(r"[a-z0-9-]+", "is not a name for a pipeline"),
        Field(description="Names the pipeline in the ledger and in reports."),
        Allowed("lower-case letters, digits and '-'"),
    ]
    sources: Annotated[
        tuple[Source, ...],
        AfterValidator(not_empty),
        Field(description="Where videos are."),
        Allowed("a list of sources"),
    ]
    inference: Annotated[Inference, Field(description="What runs on them."), Allowed("the keys of inference")]
    budget: Annotated[Budget, Field(description="Limits of a run, or of a period."), Allowed("the keys of budget")] = (
        Budget()
    )
    schedule: Annotated[
        Schedule | None,
        Field(description="When it runs by itself, once deployed. Default: only when told to."),
        Allowed("the keys of schedule"),
    ] = None
    routes: Annotated[
        tuple[Route, ...],
        AfterValidator(not_empty),
        Field(description="Where predictions go."),
        Allowed("a list of routes"),
    ]

    def budget_since(self, now: datetime) -> datetime | None:
        """When the budget's period began, in the schedule's time zone or else UTC; None for a budget of a run."""
        return self.budget.since(now, self.schedule.timezone if self.schedule else "UTC")

    @field_validator("routes")
    @classmethod
    def _routes_have_names(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        return named(routes)

    @model_validator(mode="after")
    def _parts_fit(self) -> Pipeline:
        for conflict in conflicts(dict(enumerate(self.sources)), dict(enumerate(self.routes)), self.inference):
            raise refuse(conflict.message)
        return self
