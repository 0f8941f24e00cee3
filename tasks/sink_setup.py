"""Build the sinks that a pipeline's routes name; a new sink is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

from config.routes import LabelboxRoute, LightlyRoute, ResultsRoute, Route, VideoRoute
from tasks.domain.job import DeliveryState
from tasks.labelbox_setup import upload_sink
from tasks.labelbox_style import labelbox_style
from tasks.places import place_of
from tasks.run import Run
from tasks.sinks.base import Sink
from tasks.storage.base import Storage


def open_sinks(run: Run) -> dict[str, Sink]:
    """Build the sink of each of a run's routes, by route name."""
    day = run.started_at.date()
    return {route.name: BUILDERS[type(route)](run, route, day) for route in run.pipeline.routes}


def _place(run: Run, route: Route, day: date) -> Storage:
    return place_of(route, run.pipeline, run.stores, day)


def _results(run: Run, route: ResultsRoute, day: date) -> Sink:
    from tasks.predictions.tables import write_parquet
    from tasks.sinks.results import ResultsSink

    return ResultsSink(_place(run, route, day), write_parquet=write_parquet, formats=route.formats)


def _lightly(run: Run, route: LightlyRoute, day: date) -> Sink:
    from tasks.engine.prober import count_by_decoding
    from tasks.sinks.lightly.sink import LightlySink

    return LightlySink(
        _place(run, route, day),
        task_name=route.task_name,
        fill=route.fill,
        max_gap=route.max_gap,
        input_root=route.input_root or "",
        min_confidence=route.min_confidence,
        keypoints=route.keypoints,
        frame_count=route.frame_count,
        count_frames=count_by_decoding,
    )


def _labelbox(run: Run, route: LabelboxRoute, day: date) -> Sink:
    from tasks.sinks.labelbox.sink import LabelboxFileSink

    if route.upload:
        return upload_sink(run, route, day)
    return LabelboxFileSink(_place(run, route, day), labelbox_style(route))


def _video(run: Run, route: VideoRoute, day: date) -> Sink:
    from tasks.predictions.interpolate import Interpolator
    from tasks.sinks.video import VideoSink

    return VideoSink(
        _place(run, route, day),
        interpolate=Interpolator,
        min_confidence=route.min_confidence,
        outputs_of=partial(outputs_of, run),
    )


def outputs_of(run: Run, uri: str) -> set[str] | None:
    """What the pipeline's routes have delivered of all versions of a video; None if it never had one there."""
    name = run.pipeline.name
    jobs = list(run.ledger.jobs(name, uri=uri))
    delivered = (run.ledger.deliveries(name, [DeliveryState.DELIVERED], job_key=job.key) for job in jobs)
    return {output for records in delivered for record in records for output in record.outputs} if jobs else None


BUILDERS: dict[type[Route], Callable[[Run, Any, date], Sink]] = {
    ResultsRoute: _results,
    LightlyRoute: _lightly,
    LabelboxRoute: _labelbox,
    VideoRoute: _video,
}
