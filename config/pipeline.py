"""The model of a pipeline file: sources -> inference -> routes, within a budget.

Pure data: nothing in these models reads a file, a clock or a network, and only the working
directory and the home folder decide what a relative path means. Reading a YAML file into them,
with lines in the messages, is :mod:`config.load`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from config.conflicts import conflicts
from config.fields import Allowed, Count, Positive, Section, like, not_empty
from config.inference import Inference
from config.problems import refuse
from config.routes import Route, named
from config.schedule import Schedule
from config.sources import Source

__all__ = ["Budget", "Inference", "Pipeline", "Schedule", "Source"]


class Budget(Section):
    """Limits of one run; what exceeds them waits for the next."""

    max_videos: Annotated[
        Count | None, Field(description="Videos submitted in one run."), Allowed("a whole number from 1 up")
    ] = None
    max_video_minutes: Annotated[
        Positive | None, Field(description="Minutes of video submitted in one run."), Allowed("a number above 0")
    ] = None
    cost_per_1000_frames: Annotated[
        Positive | None,
        Field(description="Your price, for estimates, in any currency."),
        Allowed("a number above 0"),
    ] = None
    max_cost: Annotated[
        Positive | None,
        Field(description="Estimated cost of one run, in the same currency."),
        Allowed("a number above 0; needs cost_per_1000_frames"),
    ] = None

    @field_validator("max_cost")
    @classmethod
    def _cost_can_be_estimated(cls, cost: float | None, info: ValidationInfo) -> float | None:
        if cost is not None and info.data.get("cost_per_1000_frames", 0) is None:
            raise refuse("'max_cost' needs 'cost_per_1000_frames' to estimate with")
        return cost


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
    budget: Annotated[Budget, Field(description="Limits of one run."), Allowed("the keys of budget")] = Budget()
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

    @field_validator("routes")
    @classmethod
    def _routes_have_names(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        return named(routes)

    @model_validator(mode="after")
    def _parts_fit(self) -> Pipeline:
        for conflict in conflicts(dict(enumerate(self.sources)), dict(enumerate(self.routes)), self.inference):
            raise refuse(conflict.message)
        return self
