"""A run of LightlyOne's worker that a route schedules once it has something new to select from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from config.fields import Allowed, Name, Section, like


class SelectionRun(Section):
    """What is asked of LightlyOne's API; needs ``LIGHTLY_TOKEN``."""

    dataset_id: Annotated[
        str,
        like(r"[a-f0-9]{24}", "is not the id of a dataset"),
        Field(description="The dataset; its datasources are configured at LightlyOne."),
        Allowed("24 hexadecimal digits"),
    ]
    selection: Annotated[
        dict[str, Any],
        Field(description="The selection configuration, as LightlyOne's API spells it: nSamples, strategies …"),
        Allowed("keys and values"),
    ]
    worker: Annotated[
        dict[str, Any], Field(description="The worker configuration, likewise."), Allowed("keys and values")
    ] = Field(default_factory=dict)
    runs_on: Annotated[
        tuple[Name, ...], Field(description="Labels of the workers that may take it."), Allowed("a list of labels")
    ] = ()
    priority: Annotated[
        Literal["low", "mid", "high"], Field(description="Its place in the queue."), Allowed("low, mid, high")
    ] = "mid"
