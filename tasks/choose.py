"""Which of the videos that wait are submitted now: the one ladder of `plan`, of the form's dry run and of `run`."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from config.pipeline import Pipeline
from tasks.copies import Originals
from tasks.domain.budget import Limits, Spent
from tasks.domain.errors import ReelrouteError
from tasks.domain.video import printable
from tasks.ledger.base import Ledger
from tasks.places import Firsts

if TYPE_CHECKING:
    from tasks.plan import Assessment

A = TypeVar("A")
B = TypeVar("B")

# The longest videos are named: they decide when the run ends.
LONGEST_SHOWN = 5


@dataclass(slots=True)
class Estimate:
    """Running totals of what a run will ask for.

    Attributes:
        videos, frames: Counts; frames are those that the service infers, not the videos' own.
        minutes: Length of the videos together.
        cost: In the user's currency, at ``cost_per_1000_frames``; None without that rate.
    """

    videos: int = 0
    frames: int = 0
    minutes: float = 0.0
    cost: float | None = None

    def plus(self, assessment: Assessment, rate: float | None) -> Estimate:
        """The totals with one more video."""
        frames = self.frames + assessment.frames
        return Estimate(
            self.videos + 1,
            frames,
            self.minutes + assessment.minutes,
            None if rate is None else frames * rate / 1000,
        )


@dataclass(slots=True)
class Plan:
    """What a run is going to do, or would.

    Attributes:
        todo: Keys of the jobs to submit, in order.
        reuse: Keys of jobs whose results are there: those of a copy, or their own in the results store.
        copies: Key of a job that is submitted, or at the service -> keys of jobs that wait for its results.
        estimate: What they ask for.
        left_out: Limit that was reached -> number of videos left for another run.
        held: Keys of their jobs.
        failures: Videos that cannot be inferred, with their jobs' keys.
        longest: The longest videos to submit: (minutes, name).
        notes: What the owners of single videos may want to know, in sentences.
        warnings: What holds for many videos, in sentences.
        stopped: Why videos cannot be read any more: nothing is to be submitted, and all stay planned. Or None.
    """

    todo: list[str] = field(default_factory=list)
    reuse: list[str] = field(default_factory=list)
    copies: dict[str, list[str]] = field(default_factory=dict)
    estimate: Estimate = field(default_factory=Estimate)
    left_out: Counter[str] = field(default_factory=Counter)
    held: set[str] = field(default_factory=set)
    failures: list[tuple[str, Assessment]] = field(default_factory=list)
    longest: list[tuple[float, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stopped: ReelrouteError | None = None


# Key of the job, what a look at its video told, the hash of its content ("" if the store has none, None where
# nobody wants to know), and whether its results are stored already.
Looked = tuple[str, "Assessment", str | None, bool]


def choose(looked: Iterable[Looked], allowance: Allowance, originals: Originals, firsts: Firsts) -> Plan:
    """Say of each video, in this order, what becomes of it; reads, and changes nothing.

    A video that cannot be inferred costs nothing, nor does one of which there are results, or will be of its
    copy; the others are submitted for as long as the limits allow.

    Args:
        firsts: Is told of each video that is submitted.
    """
    plan = Plan()
    for key, found, content, is_stored in looked:
        original, is_done = ("", False) if found.error else originals.of(key, found.video, content)
        if found.error is not None:
            plan.failures.append((key, found))
        elif is_done or is_stored:
            plan.reuse.append(key)
            originals.add(key, found.video, content)
        elif original:
            plan.copies.setdefault(original, []).append(key)
        elif reason := allowance.refuses(found):
            plan.left_out[reason] += 1
            plan.held.add(key)
        else:
            plan.todo.append(key)
            originals.add(key, found.video, content)
            firsts.add(found.video)
            _describe(plan, found)
    plan.estimate = allowance.spent
    plan.warnings += originals.warnings
    return plan


def _describe(plan: Plan, found: Assessment) -> None:
    plan.notes += [f"{printable(found.video.name)}: {note}" for note in found.notes]
    heapq.heappush(plan.longest, (found.minutes, found.video.name))
    if len(plan.longest) > LONGEST_SHOWN:
        heapq.heappop(plan.longest)


class Allowance:
    """Counts what a run has taken on and refuses what would exceed its limits.

    Attributes:
        spent: The totals so far.
    """

    def __init__(self, limits: Limits, limit: int = 0, before: Spent | None = None) -> None:
        self._limits = limits
        self._limit = limit
        self._before = before or Spent()
        self.spent = Estimate(cost=None if limits.cost_per_1000_frames is None else 0.0)

    def refuses(self, found: Assessment) -> str:
        """Take the video on and return "", or say which limit it would exceed."""
        after = self.spent.plus(found, self._limits.cost_per_1000_frames)
        if self._limit and after.videos > self._limit:
            return f"--limit {self._limit}"
        if reason := self._limits.exceeded_by(self._before.plus(Spent(after.videos, after.frames, after.minutes))):
            return reason
        self.spent = after
        return ""

    @property
    def left(self) -> dict[str, float]:
        """Limit -> what may still be spent of it."""
        limits, now = self._limits, self._before.plus(Spent(self.spent.videos, self.spent.frames, self.spent.minutes))
        cost = now.cost(limits.cost_per_1000_frames) or 0.0
        left = {
            "max_videos": limits.max_videos and limits.max_videos - now.videos,
            "max_video_minutes": limits.max_video_minutes and limits.max_video_minutes - now.minutes,
            "max_cost": limits.max_cost and limits.max_cost - cost,
        }
        return {limit: max(0, value) for limit, value in left.items() if value is not None}


def allowance_of(pipeline: Pipeline, ledger: Ledger | None, now: datetime, limit: int = 0) -> Allowance:
    """What a run that begins now may take on: its limits, less what the budget's period has spent already."""
    found = spent_in_period(pipeline, ledger, now)
    return Allowance(pipeline.budget.limits, limit, found[1] if found else None)


def spent_in_period(pipeline: Pipeline, ledger: Ledger | None, now: datetime) -> tuple[datetime, Spent] | None:
    """When the budget's period began, and what was submitted in it; None for a budget of a run."""
    since = pipeline.budget_since(now)
    if since is None:
        return None
    return since, ledger.spent(pipeline.name, since) if ledger else Spent()


def in_threads(call: Callable[[A], B], items: Iterable[A], width: int) -> Iterator[B]:
    """Call on every item, ``width`` at once, and give the results in order, streaming."""
    with ThreadPoolExecutor(width) as pool:
        window: deque[Future[B]] = deque()
        for item in items:
            window.append(pool.submit(call, item))
            if len(window) >= 2 * width:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
