"""What was spent of a budget, and what its limits say to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Spent:
    """What submissions amount to.

    Attributes:
        videos, frames: Counts; frames are those that the service infers.
        minutes: Length of the videos together.
    """

    videos: int = 0
    frames: int = 0
    minutes: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.videos + other.videos, self.frames + other.frames, self.minutes + other.minutes)

    def cost(self, rate: float | None) -> float | None:
        """Estimated, at a price of 1000 frames; None without one."""
        return None if rate is None else self.frames * rate / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that may be spent of each; None where there is no limit.

    Attributes:
        per: The period that they are of, as the pipeline file says it.
    """

    max_videos: float | None = None
    max_video_minutes: float | None = None
    cost_per_1000_frames: float | None = None
    max_cost: float | None = None
    per: str = "run"

    def exceeded_by(self, spent: Spent) -> str:
        """The first limit that is exceeded, in words; "" if none is."""
        for name, value, most in (
            ("max_videos", spent.videos, self.max_videos),
            ("max_video_minutes", spent.minutes, self.max_video_minutes),
            ("max_cost", spent.cost(self.cost_per_1000_frames) or 0.0, self.max_cost),
        ):
            if most is not None and value > most:
                return f"budget.{name} {most:g}" + ("" if self.per == "run" else f" per {self.per}")
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What an attempt takes from its pipeline's budget.

    Attributes:
        costs: So much, by the estimate.
        limits, since: What may be spent since when; None where only each run is limited.
    """

    costs: Spent
    limits: Limits
    since: datetime | None
