"""Labelbox as a pipeline's routes name it: opened with the key of the environment, looked at, uploaded to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from config.locations import expand
from config.pipeline import Pipeline
from config.routes import LabelboxRoute
from config.settings import Settings
from tasks.domain.errors import AuthRefused, ReelrouteError
from tasks.domain.video import SignedUrl, VideoRef
from tasks.inference.base import ModelInfo
from tasks.labelbox_style import labelbox_style
from tasks.sinks.base import Sink

if TYPE_CHECKING:  # the SDK takes a second to load
    from tasks.run import Run
    from tasks.sinks.labelbox.api import Labelbox
    from tasks.sinks.labelbox.workspace import Names


def uploads(pipeline: Pipeline) -> Iterator[LabelboxRoute]:
    """Yield the routes that upload to Labelbox."""
    for route in pipeline.routes:
        if isinstance(route, LabelboxRoute) and route.upload:
            yield route


def open_labelbox(settings: Settings) -> Labelbox:
    """Open the workspace of the environment's key; asks nothing yet.

    Raises:
        AuthRefused: There is no key.
    """
    if settings.labelbox_api_key is None:
        raise AuthRefused(
            "LABELBOX_API_KEY is not set, and a labelbox route uploads",
            hint="make a key in Labelbox (Workspace settings, API keys), or write files with `upload: false`",
        )
    from tasks.sinks.labelbox.api import Labelbox

    return Labelbox(
        settings.labelbox_api_key.get_secret_value(),
        endpoint=settings.labelbox_endpoint,
        rest_endpoint=settings.labelbox_rest_endpoint,
    )


def names_of(route: LabelboxRoute, pipeline: str, day: date) -> Names:
    """What the route calls things in Labelbox on a day."""
    from tasks.sinks.labelbox.workspace import Names

    return Names(
        dataset=route.dataset or "",
        ontology=route.ontology or "",
        model=route.model or "",
        model_run=expand(route.model_run or "", day, pipeline),
        integration=route.iam_integration or "",
        project=route.project or "",
    )


def check_uploads(pipeline: Pipeline, settings: Settings, models: Sequence[ModelInfo], day: date) -> None:
    """Ask Labelbox whether every upload of a run can work, before anything is paid; changes nothing.

    Raises:
        AuthRefused, AccessDenied: There is no key, or it is not accepted.
        OntologyMismatch, InputInvalid: What is there does not take what the models predict.
        ServiceUnavailable: Labelbox does not answer.
    """
    for route in uploads(pipeline):
        try:
            look(open_labelbox(settings), route, pipeline.name, models, day)
        except ReelrouteError as error:
            raise type(error)(f"route {route.name}: {error.message}", hint=error.hint) from None


def look(box: Labelbox, route: LabelboxRoute, pipeline: str, models: Sequence[ModelInfo], day: date) -> list[str]:
    """Look up what one route names; return what was found, in sentences."""
    from tasks.sinks.labelbox.ndjson import expected_features
    from tasks.sinks.labelbox.workspace import Workspace

    described = [(info.ref.project, info.task, info.classes) for info in models]
    features = expected_features(described, labelbox_style(route))
    found = [f"workspace '{box.workspace()}'"]
    return found + Workspace(box, names_of(route, pipeline, day)).look(features)


def upload_sink(run: Run, route: LabelboxRoute, day: date) -> Sink:
    """Build the sink of an upload."""
    from tasks.sinks.labelbox.imports import ImportKind
    from tasks.sinks.labelbox.project import ProjectSteps
    from tasks.sinks.labelbox.upload_sink import LabelboxUploadSink

    def sign(video: VideoRef) -> SignedUrl:
        store, key = run.stores.locate(video)
        return store.sign(key, route.url_lifetime)

    annotations = None if route.project_annotations == "none" else ImportKind(route.project_annotations)
    return LabelboxUploadSink(
        open_labelbox(run.settings),
        names=names_of(route, run.pipeline.name, day),
        style=labelbox_style(route),
        sign=sign,
        steps=ProjectSteps(
            batch=route.batch,
            priority=route.batch_priority,
            annotations=annotations,
            labels_to_run=route.labels_to_run,
        ),
        journal=run.settings.home / "labelbox",
    )
