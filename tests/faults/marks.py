"""Places in the program at which a process kills itself.

A mark wraps one function of the program, in this process only, and sends the process SIGKILL, which
nothing can catch: the program ends there as it would by a power cut. Marks of submission and collection
are for the second of three videos, marks of delivery for the last.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUTES = ("results", "lightly", "labelbox", "video")
SECOND, LAST = "b.mp4", "c.mp4"
SECOND_JOB = "job-2"

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Mark:
    """A place to die at.

    Attributes:
        place: ``module:name`` of a function, or ``module:Class.name`` of a method.
        after: Die when it has returned, not before it begins.
        when: Says by the arguments whether this call counts.
        nth: Which of those calls it is.
    """

    place: str
    after: bool = False
    when: Callable[[Arguments], bool] = lambda _: True
    nth: int = 1


def moves(to: str) -> Callable[[Arguments], bool]:
    return lambda given: given["to"] == to and given["job"].video.name == SECOND


def tells(state: str) -> Callable[[Arguments], bool]:
    return lambda given: given["lines"][0]["state"] == state


def is_of(route: str) -> Callable[[Arguments], bool]:
    return lambda given: given["route"] == route


def publishes(folder: str, name: str) -> Callable[[Arguments], bool]:
    def when(given: Arguments) -> bool:
        target = Path(given["target"])
        return f"/{folder}/" in given["target"] and target.name.startswith(name)

    return when


def combines(given: Arguments) -> bool:
    return given["target"].endswith("/results.json") and LAST.encode() in Path(given["staged"]).read_bytes()


def is_frame_of(video: str) -> Callable[[Arguments], bool]:
    return lambda given: f'"{video}-'.encode() in given["data"]


CLIENT = "tasks.inference.roboflow:RoboflowClient"
LEDGER = "tasks.ledger.store:SqlLedger"

MARKS: dict[str, Mark] = {
    "before the intent": Mark("tasks.run:Run.move", when=moves("submitting")),
    "the intent not committed": Mark("tasks.ledger.jobs:tell", after=True, when=tells("submitting"), nth=2),
    "after the intent": Mark("tasks.run:Run.move", after=True, when=moves("submitting")),
    "before the request": Mark(f"{CLIENT}._send", when=lambda given: given["what"] == "submitting a job", nth=2),
    "after the answer": Mark(f"{CLIENT}.submit", after=True, when=lambda given: given["video"].path.name == SECOND),
    "the job id not committed": Mark("tasks.ledger.jobs:tell", after=True, when=tells("submitted"), nth=2),
    "after the job id": Mark("tasks.run:Run.move", after=True, when=moves("submitted")),
    "between two polls": Mark(f"{CLIENT}.check", after=True, when=lambda given: given["job_id"] == SECOND_JOB),
    "before the download": Mark(f"{CLIENT}.download", when=lambda given: SECOND_JOB in given["result_url"].url),
    "after the download": Mark(
        f"{CLIENT}.download", after=True, when=lambda given: SECOND_JOB in given["result_url"].url
    ),
    "before storing": Mark("tasks.collect:_compress_and_upload", nth=2),
    "amid storing": Mark("tasks.storage.atomic:publish", when=publishes("home/results", ""), nth=2),
    "after storing": Mark("tasks.collect:_compress_and_upload", after=True, nth=2),
    "success not committed": Mark("tasks.ledger.jobs:tell", after=True, when=tells("succeeded"), nth=2),
    "after success": Mark("tasks.run:Run.move", after=True, when=moves("succeeded")),
    "results: amid the batch": Mark("tasks.storage.atomic:publish", when=combines),
}
for _route, _files in zip(ROUTES, (2, 2, 1, 1), strict=True):
    MARKS |= {
        f"{_route}: before": Mark(f"{LEDGER}.claim_delivery", when=is_of(_route), nth=3),
        f"{_route}: claimed": Mark(f"{LEDGER}.claim_delivery", after=True, when=is_of(_route), nth=3),
        f"{_route}: amid": Mark("tasks.storage.atomic:publish", when=publishes(f"out/{_route}", "c"), nth=_files),
        f"{_route}: written": Mark("tasks.route:deliver_one", after=True, when=is_of(_route), nth=3),
        f"{_route}: not recorded": Mark(f"{LEDGER}.finish_delivery", when=is_of(_route), nth=3),
        f"{_route}: recorded": Mark(f"{LEDGER}.finish_delivery", after=True, when=is_of(_route), nth=3),
    }
# Frames go many at once: killed with the first one of a video in place, and the second one begun.
MARKS["lightly: amid"] = Mark("tasks.storage.many_files:_fill", when=is_frame_of("c"), nth=2)


def set_mark(mark: Mark, by: signal.Signals = signal.SIGKILL) -> None:
    """Wrap the marked function where it is looked up; ``by`` is what the process sends itself there."""
    module, _, path = mark.place.partition(":")
    owner = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, _wrapped(getattr(owner, name), mark, by))


def _wrapped(function: Callable[..., Any], mark: Mark, by: signal.Signals) -> Callable[..., Any]:
    signature, calls = inspect.signature(function), 0

    def pass_by(*given: Any, **named: Any) -> None:
        nonlocal calls
        calls += mark.when(signature.bind(*given, **named).arguments)
        if calls == mark.nth:
            calls += 1  # once
            os.kill(os.getpid(), by)

    @functools.wraps(function)
    def plain(*given: Any, **named: Any) -> Any:
        if not mark.after:
            pass_by(*given, **named)
        ended = function(*given, **named)
        if mark.after:
            pass_by(*given, **named)
        return ended

    @functools.wraps(function)
    async def waited_for(*given: Any, **named: Any) -> Any:
        if not mark.after:
            pass_by(*given, **named)
        ended = await function(*given, **named)
        if mark.after:
            pass_by(*given, **named)
        return ended

    return waited_for if inspect.iscoroutinefunction(function) else plain
