"""The budget of a pipeline, of a run or of a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from config.fields import Allowed, Count, Positive, Section
from config.problems import nearest, refuse, refuse_value
from config.units import read_duration
from tasks.domain.budget import Limits

CALENDAR = ("run", "day", "week", "month")
PERIODS = "run, day, week, month, or a number and a unit: 90s, 15m, 36h or 7d, at most 31d"
LONGEST_PERIOD = timedelta(days=31)


def _period(text: str) -> str:
    if text in CALENDAR:
        return text
    try:
        length = read_duration(text)
    except PydanticCustomError:
        suggestion = nearest(text, CALENDAR)
        raise refuse_value("is not a period", allowed=PERIODS, suggestion=suggestion) from None
    if not isinstance(length, timedelta) or not timedelta(0) < length <= LONGEST_PERIOD:
        raise refuse_value("is too short or too long", allowed=PERIODS)
    return text


class Budget(Section):
    """Limits of one run, or of a period over all runs; what exceeds them waits for the next."""

    max_videos: Annotated[Count | None, Field(description="Videos submitted."), Allowed("a whole number from 1 up")] = (
        None
    )
    max_video_minutes: Annotated[
        Positive | None, Field(description="Minutes of video submitted."), Allowed("a number above 0")
    ] = None
    cost_per_1000_frames: Annotated[
        Positive | None,
        Field(description="Your price, for estimates, in any currency."),
        Allowed("a number above 0"),
    ] = None
    max_cost: Annotated[
        Positive | None,
        Field(description="Estimated cost, in the same currency."),
        Allowed("a number above 0; needs cost_per_1000_frames"),
    ] = None
    per: Annotated[
        str,
        AfterValidator(_period),
        Field(description="What the limits are of: one run, or all runs of the pipeline in a period."),
        Allowed(PERIODS),
    ] = "run"

    @field_validator("max_cost")
    @classmethod
    def _cost_can_be_estimated(cls, cost: float | None, info: ValidationInfo) -> float | None:
        if cost is not None and info.data.get("cost_per_1000_frames", 0) is None:
            raise refuse("'max_cost' needs 'cost_per_1000_frames' to estimate with")
        return cost

    @property
    def limits(self) -> Limits:
        """The same limits, as the steps and the ledger take them."""
        return Limits(
            max_videos=self.max_videos,
            max_video_minutes=self.max_video_minutes,
            cost_per_1000_frames=self.cost_per_1000_frames,
            max_cost=self.max_cost,
            per=self.per,
        )

    def since(self, now: datetime, timezone: str) -> datetime | None:
        """When the period began that ``now`` is in; None for limits of a run.

        Days, weeks (from Monday) and months begin at midnight in the time zone; a duration goes back from ``now``.
        """
        if self.per == "run":
            return None
        if self.per not in CALENDAR:
            length = read_duration(self.per)
            assert isinstance(length, timedelta)  # noqa: S101 (it was read once before)
            return now - length
        today = now.astimezone(ZoneInfo(timezone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        back = {"day": 0, "week": today.weekday(), "month": today.day - 1}[self.per]
        return today - timedelta(days=back)
